// The server's answers: JSON, or an error with one sentence for the reader. Nothing else in the page fetches.

/** A request that the server refused, or that never reached it (status 0). */
export class Refused extends Error {
  constructor(status, answer) {
    super([answer.reason, answer.remedy].filter(Boolean).join(": ") || `The server answered ${status}`);
    Object.assign(this, { status, answer });
  }

  /** Whether the same request may succeed later: no server, or no room on its disk. */
  get passes() { return [0, 503].includes(this.status); }
}

/** What `read` makes of an answer. One that breaks off, as of a server that is killed while it answers, is none. */
const answered = async (address, settings, read = (response) => response.json()) => {
  let response, content;
  try {
    response = await fetch(address, settings);
    content = await (response.ok ? read(response) : response.json());
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { reason: "The server does not answer", remedy: "is dailytalk review still running?" });
  }
  if (!response.ok) throw new Refused(response.status, content);
  return content;
};

export const address = (path, query = {}) => {
  const known = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  return `${path}?${new URLSearchParams(known)}`;
};

export const get = (path, query) => answered(address(path, query), {});

export const bytes = (path, query, signal) => answered(address(path, query), { signal }, async (response) => (
  { values: new Int8Array(await response.arrayBuffer()), channels: Number(response.headers.get("X-Channels")) }));

export const post = (path, body) =>
  answered(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/**
 * What others do, as it happens; a connection that broke is made again.
 * @param {Record<string, (data: object) => void>} hear by kind of event; `lost` and `back` tell of the connection.
 */
export const events = (hear) => {
  let lost = false;
  const open = () => {
    const source = new EventSource("api/events");
    for (const kind of ["edit", "here", "item"]) {
      source.addEventListener(kind, (event) => hear[kind](JSON.parse(event.data)));
    }
    source.addEventListener("open", () => {
      if (lost) hear.back();
      lost = false;
    });
    source.addEventListener("error", () => {
      source.close();
      if (!lost) hear.lost();
      lost = true;
      setTimeout(open, 1000);
    });
  };
  open();
};
