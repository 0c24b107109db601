// The query, above the results.

import { element, name, picture } from "./cards.js";

const NAMES = { images: "Pictures", texts: "Texts" };

/** Shows the query of the results: words, an uploaded picture, or an item of the collection. */
export function showQuery(place, query, answer, upload) {
  place.className = "query";
  const lines = element("div");
  const seen = element("div", { className: "seen" });
  const what = NAMES[answer?.find ?? query.find];
  if (query.by === "words") {
    lines.append(title(`${what} for “${query.words}”`));
  } else if (query.by === "picture") {
    lines.append(title(`${what} for your picture`), note(upload.file.name));
    seen.append(uploaded(upload));
  } else {
    const item = answer?.query;
    const alike = answer && answer.find === `${query.modality}s`;
    lines.append(title(heading(what, query, item, alike)));
    if (item) lines.append(note(item.text && item.modality === "image" ? `${name(item)} · ${item.text}` : item.id));
    if (item?.modality === "image") seen.append(picture(item, 240));
  }
  place.replaceChildren(...(seen.hasChildNodes() ? [seen] : []), lines);
  document.title = `${lines.firstChild.textContent} · Cross-modal search`;
}

/** Shows the ways to search. */
export function showLanding(place, info) {
  place.className = "query landing";
  const both = info.images && info.texts;
  const ways = [info.queries.includes("text") && "type words", info.queries.includes("image") && "drop a picture"];
  const offered = ways.filter(Boolean).join(" or ");
  const lines = element("div", {}, title(both ? "Pictures by words, words by pictures" : "Search the collection"));
  const first = offered ? `${offered[0].toUpperCase()}${offered.slice(1)}` : "Choose an item";
  lines.append(note(`${first}. Click any result to turn the search around.`));
  place.replaceChildren(lines);
  document.title = "Cross-modal search";
}

function heading(what, query, item, alike) {
  if (query.modality === "text") return item ? `${what} for “${item.text ?? item.id}”` : `${what} for a text`;
  return alike ? "Pictures like this one" : `${what} for this picture`;
}

function uploaded(upload) {
  const image = element("img", { alt: "Your picture", src: upload.address });
  image.addEventListener("error", () => image.parentElement?.remove(), { once: true });
  return image;
}

function title(text) {
  return element("h1", { id: "heading", tabIndex: -1 }, text);
}

function note(text) {
  return element("p", { className: "note" }, text);
}
