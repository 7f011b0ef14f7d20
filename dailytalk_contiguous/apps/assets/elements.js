// What every page makes elements with. Texts of data, people and servers come into a page by `make`, `say` and
// `options` alone, as text.

export const $ = (id) => document.getElementById(id);

export const make = (tag, name = "", text = undefined, attributes = {}) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, String(value));
  return element;
};

export const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };

export const press = (element, pressed) => element.setAttribute("aria-pressed", String(pressed));

/** Put options into a select; each is a text or [value, text]. The value that was chosen stays if it is there. */
export const options = (select, choices) => {
  const chosen = select.value;
  select.replaceChildren(...choices.map((choice) => {
    const [value, text] = Array.isArray(choice) ? choice : [choice, choice];
    const option = make("option", "", text);
    option.value = value;
    return option;
  }));
  if ([...select.options].some((option) => option.value === chosen)) select.value = chosen;
};
