// A list of any length, of which only the rows in view are in the page. Rows may differ in height: a height is
// estimated first and measured once the row is shown. To assistive technology it is a whole listbox, since each row
// says its place in the set; the box keeps the focus and names the current row.

import { make } from "./elements.js";

const SPARE = 300; // pixels beyond the view that are filled, too

export class VirtualList {
  /**
   * @param {HTMLElement} box that scrolls, with the role listbox.
   * @param {(index: number) => HTMLElement} render
   * @param {(index: number) => number} estimate the height of a row
   */
  constructor(box, render, estimate) {
    Object.assign(this, { box, render, estimate, heights: [], tops: [0], current: -1, shown: new Map() });
    this.inner = make("div", "inner");
    this.inner.setAttribute("role", "presentation");
    box.append(this.inner);
    box.addEventListener("scroll", () => this.fill(), { passive: true });
    new ResizeObserver(() => (box.clientWidth === this.width ? this.fill() : this.reset(this.heights.length))).observe(box);
  }

  /** Show other rows; the current one is chosen anew with `choose`. */
  reset(count) {
    this.width = this.box.clientWidth;
    this.heights = Array.from({ length: count }, (_, index) => this.estimate(index));
    this.sum();
    this.refresh();
  }

  /** Draw the rows in view anew, since what they show has changed. */
  refresh() {
    this.inner.replaceChildren();
    this.shown.clear();
    this.fill();
  }

  sum() {
    this.tops = [0];
    for (const height of this.heights) this.tops.push(this.tops.at(-1) + height);
    this.inner.style.height = `${this.tops.at(-1)}px`;
  }

  /** The row at an offset, by bisection. */
  at(offset) {
    let [low, high] = [0, this.heights.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tops[middle + 1] > offset) high = middle; else low = middle + 1;
    }
    return low;
  }

  fill() {
    const { scrollTop, clientHeight } = this.box;
    const first = this.at(Math.max(0, scrollTop - SPARE));
    const last = Math.min(this.heights.length - 1, this.at(scrollTop + clientHeight + SPARE));
    for (const [index, row] of this.shown) {
      if (index < first || index > last) { row.remove(); this.shown.delete(index); }
    }
    for (let index = first; index <= last; index++) {
      if (this.shown.has(index)) continue;
      const row = this.render(index);
      row.id = `${this.box.id}-${index}`;
      row.dataset.index = String(index);
      const facts = { role: "option", "aria-setsize": this.heights.length, "aria-posinset": index + 1, "aria-selected": index === this.current };
      for (const [name, value] of Object.entries(facts)) row.setAttribute(name, String(value));
      this.shown.set(index, row);
      this.inner.append(row);
    }
    this.measure();
    for (const [index, row] of this.shown) row.style.transform = `translateY(${this.tops[index]}px)`;
    this.name();
  }

  measure() {
    const anchor = this.at(this.box.scrollTop);
    const before = this.tops[anchor];
    const other = [...this.shown].map(([index, row]) => [index, row.offsetHeight]).filter(([index, height]) => height && height !== this.heights[index]);
    if (!other.length) return;
    for (const [index, height] of other) this.heights[index] = height;
    this.sum();
    const moved = this.tops[anchor] - before; // what is in view stays where it is when rows above turn out taller
    if (moved) this.box.scrollTop += moved;
  }

  /** Make a row the current one, and bring it into view unless told not to. */
  choose(index, reveal = true) {
    this.shown.get(this.current)?.setAttribute("aria-selected", "false");
    this.current = index;
    this.shown.get(index)?.setAttribute("aria-selected", "true");
    for (let again = 0; reveal && index >= 0 && again < 3; again++) {
      const [top, bottom] = [this.tops[index], this.tops[index + 1]];
      const { scrollTop, clientHeight } = this.box;
      if (top < scrollTop) this.box.scrollTop = top - 4;
      else if (bottom > scrollTop + clientHeight) this.box.scrollTop = Math.min(top, bottom - clientHeight + 4);
      else break;
      this.fill(); // heights that were estimated become known, and the row may have moved
    }
    this.name();
  }

  name() {
    if (this.shown.has(this.current)) this.box.setAttribute("aria-activedescendant", `${this.box.id}-${this.current}`);
    else this.box.removeAttribute("aria-activedescendant");
  }
}
