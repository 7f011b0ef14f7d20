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
  } catch {
    throw new Refused(0, { reason: "The server does not answer", remedy: "is dailytalk review still running?" });
  }
  if (!response.ok) throw new Refused(response.status, content);
  return content;
};

export const address = (path, query = {}) => `${path}?${new URLSearchParams(query)}`;

export const get = (path, query) => answered(address(path, query), {});

export const bytes = (path, query) => answered(address(path, query), {}, async (response) => (
  { values: new Int8Array(await response.arrayBuffer()), channels: Number(response.headers.get("X-Channels")) }));

export const post = (path, body) =>
  answered(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
