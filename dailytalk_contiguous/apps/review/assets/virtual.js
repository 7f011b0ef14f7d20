// A list of any length, of which only the rows in view are in the page. Rows may differ in height: a height is
// estimated first and measured once the row is shown. To assistive technology it is a whole listbox, since each row
// says its place in the set; the box keeps the focus and names the current row.

const SPARE = 300; // pixels beyond the view that are filled, too

export class VirtualList {
  /**
   * @param {HTMLElement} box that scrolls, with the role listbox.
   * @param {{ render: (index: number) => HTMLElement, estimate: (index: number) => number, fixed?: boolean }} rows
   */
  constructor(box, { render, estimate, fixed = false }) {
    Object.assign(this, { box, render, estimate, fixed, count: 0, current: -1, shown: new Map() });
    this.inner = document.createElement("div");
    this.inner.className = "inner";
    this.inner.setAttribute("role", "presentation");
    box.append(this.inner);
    this.tops = new Float64Array(1);
    box.addEventListener("scroll", () => this.fill(), { passive: true });
    new ResizeObserver(() => {
      if (box.clientWidth !== this.width) this.reset(this.count);
      else this.fill();
    }).observe(box);
  }

  /** Show other rows; the current one is chosen anew with `choose`. */
  reset(count) {
    this.width = this.box.clientWidth;
    this.count = count;
    this.heights = Float64Array.from({ length: count }, (_, index) => this.estimate(index));
    this.inner.replaceChildren();
    this.shown.clear();
    this.sum();
    this.fill();
  }

  /** Draw the rows in view anew, since what they show has changed. */
  refresh() {
    this.inner.replaceChildren();
    this.shown.clear();
    this.fill();
  }

  sum() {
    this.tops = new Float64Array(this.count + 1);
    for (let index = 0; index < this.count; index++) this.tops[index + 1] = this.tops[index] + this.heights[index];
    this.inner.style.height = `${this.tops[this.count]}px`;
  }

  at(offset) {
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tops[middle + 1] > offset) high = middle; else low = middle + 1;
    }
    return low;
  }

  fill() {
    const top = this.box.scrollTop;
    const first = this.at(Math.max(0, top - SPARE));
    const last = Math.min(this.count - 1, this.at(top + this.box.clientHeight + SPARE));
    for (const [index, row] of this.shown) {
      if (index < first || index > last) { row.remove(); this.shown.delete(index); }
    }
    const fresh = [];
    for (let index = first; index <= last; index++) {
      if (this.shown.has(index)) continue;
      const row = this.render(index);
      row.id = `${this.box.id}-${index}`;
      row.setAttribute("role", "option");
      row.setAttribute("aria-setsize", String(this.count));
      row.setAttribute("aria-posinset", String(index + 1));
      row.setAttribute("aria-selected", String(index === this.current));
      row.dataset.index = String(index);
      this.shown.set(index, row);
      fresh.push(row);
    }
    if (fresh.length) {
      this.inner.append(...fresh);
      if (!this.fixed) this.measure(fresh);
    }
    for (const [index, row] of this.shown) row.style.transform = `translateY(${this.tops[index]}px)`;
    this.name();
  }

  measure(fresh) {
    const anchor = this.at(this.box.scrollTop);
    const before = this.tops[anchor];
    const heights = fresh.map((row) => row.offsetHeight);
    let differ = false;
    fresh.forEach((row, place) => {
      const index = Number(row.dataset.index);
      if (heights[place] && this.heights[index] !== heights[place]) { this.heights[index] = heights[place]; differ = true; }
    });
    if (!differ) return;
    this.sum();
    const moved = this.tops[anchor] - before; // what is in view stays where it is when rows above turn out taller
    if (moved) this.box.scrollTop += moved;
  }

  /** Make a row the current one, and bring it into view unless told not to. */
  choose(index, reveal = true) {
    this.shown.get(this.current)?.setAttribute("aria-selected", "false");
    this.current = index;
    this.shown.get(index)?.setAttribute("aria-selected", "true");
    if (reveal && index >= 0) this.reveal(index);
    this.name();
  }

  reveal(index) {
    for (let again = 0; again < 3; again++) {
      const [top, bottom] = [this.tops[index], this.tops[index + 1]];
      const { scrollTop, clientHeight } = this.box;
      if (top < scrollTop) this.box.scrollTop = top - 4;
      else if (bottom > scrollTop + clientHeight) this.box.scrollTop = Math.min(top, bottom - clientHeight + 4);
      else return;
      this.fill(); // heights that were estimated become known, and the row may have moved
    }
  }

  name() {
    if (this.shown.has(this.current)) this.box.setAttribute("aria-activedescendant", `${this.box.id}-${this.current}`);
    else this.box.removeAttribute("aria-activedescendant");
  }
}
