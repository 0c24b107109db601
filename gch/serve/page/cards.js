// Items as cards. The content of an item is only ever set as text, never as markup.

import { writeAddress, STEP } from "./address.js";

/** An element with properties and children. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** A picture of the collection, `side` pixels wide, sharp on fine screens too. */
export function picture(item, side) {
  const image = element("img", { alt: item.text ?? name(item), loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(""), { once: true });
  image.srcset = `${item.picture}?size=${side}, ${item.picture}?size=${2 * side} 2x`;
  image.src = `${item.picture}?size=${side}`;
  return image;
}

/** A file's name without folder and suffix, or the id of a text. */
export function name(item) {
  return item.picture ? item.id.split("/").pop().replace(/\.\w+$/, "") : item.id;
}

/** A card of a list: a link to the search by this item. */
export function card(item, bits) {
  const query = { by: "row", modality: item.modality, row: item.row, count: STEP };
  const link = element("a", { className: "card", href: writeAddress(query) });
  link.append(item.picture ? shown(item) : element("div", { className: "said" }, item.text ?? item.id));
  link.append(caption(item, bits));
  if (item.distance !== undefined) link.append(near(item.score ?? item.distance, bits));
  return element("li", {}, link);
}

function shown(item) {
  const box = element("div", { className: "shown" }, picture(item, 240));
  box.firstChild.addEventListener("error", () => box.classList.add("gone"), { once: true });
  return box;
}

function caption(item, bits) {
  const line = element("div", { className: "caption" });
  const label = item.picture ? (item.text ?? name(item)) : item.id;
  const title = item.modality === "pair" ? label : item.id;
  const hidden = item.picture; // The picture's alternative text says the same.
  line.append(element("span", { className: "name", title, ariaHidden: hidden ? "true" : null }, label));
  if (item.distance !== undefined) {
    const title = `Hamming distance ${item.distance} of ${bits} bits`;
    const visible = element("span", { ariaHidden: "true" }, String(item.distance), element("small", {}, ` / ${bits}`));
    line.append(element("span", { className: "distance", title }, visible, element("span", { className: "hidden" }, title)));
  }
  return line;
}

function near(distance, bits) {
  const bar = element("div", { className: "near" }, element("i"));
  bar.firstChild.style.setProperty("--share", `${100 * (1 - distance / bits)}%`);
  return bar;
}
