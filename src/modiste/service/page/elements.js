// Building the document. Whatever comes from data becomes a text node or an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element.
 * @param {string} name as in "p" or "p.lead.more"
 * @param {Object} [attributes] a value that is null or false is left out; a function is a listener
 *   of the event of that name; "style" is an object of properties
 * @param {...(Node|string|number|null|Array)} children
 */
export function element(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.classList.add(...classes);
  return filled(made, attributes, children);
}

/** An SVG element; parameters are those of element. */
export function drawn(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElementNS(SVG, tag);
  if (classes.length) made.classList.add(...classes);
  return filled(made, attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(name, value);
    else if (name === "style")
      for (const [property, of] of Object.entries(value)) made.style.setProperty(property, of);
    else made.setAttribute(name, value === true ? "" : value);
  }
  fill(made, ...children);
  return made;
}

/** Append children; null and undefined are left out, lists are taken apart. */
export function fill(parent, ...children) {
  parent.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

/** A section with a heading that names it. */
export function section(title, ...children) {
  const heading = element("h2", { id: `section-${(sections += 1)}` }, title);
  return element("section", { "aria-labelledby": heading.id }, heading, ...children);
}

let sections = 0;

/** Say something to screen readers. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
