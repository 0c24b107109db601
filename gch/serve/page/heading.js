// The query, above the results.

import { writeAddress, STEP } from "./address.js";
import { element, name, picture } from "./cards.js";

const NAMES = { images: "Pictures", texts: "Texts", pairs: "Pairs" };

/** Shows the query of the results: words, an uploaded picture, or an item of the collection. */
export function showQuery(place, query, answer, upload) {
  place.className = "query";
  const lines = element("div");
  const seen = element("div", { className: "seen" });
  const what = NAMES[answer?.find ?? query.find];
  if (query.by === "words") {
    lines.append(title(`${what} for “${query.words}”`));
  } else if (query.by === "picture") {
    const both = query.words ? ` and “${query.words}”` : "";
    lines.append(title(`${what} for your picture${both}`), note(upload.file.name));
    if (both) lines.append(element("p", { className: "note" }, ...halves(query)));
    seen.append(uploaded(upload));
  } else {
    const item = answer?.query;
    const alike = answer && answer.find === `${query.modality}s`;
    lines.append(title(heading(what, query, item, alike)));
    if (item) lines.append(note(item.text && item.picture ? `${name(item)} · ${item.text}` : item.id));
    if (item?.picture) seen.append(picture(item, 240));
  }
  if (answer?.note) lines.append(note(answer.note));
  place.replaceChildren(...(seen.hasChildNodes() ? [seen] : []), lines);
  document.title = `${lines.firstChild.textContent} · Cross-modal search`;
}

/** Shows the ways to search. */
export function showLanding(place, info) {
  place.className = "query landing";
  const both = info.pairs
    ? "Pictures with words, by words, a picture or both"
    : info.images && info.texts && "Pictures by words, words by pictures";
  const ways = [info.queries.includes("text") && "type words", info.queries.includes("image") && "drop a picture"];
  const offered = ways.filter(Boolean).join(" or ") + (info.queries.includes("pair") ? " or both" : "");
  const lines = element("div", {}, title(both || "Search the collection"));
  const first = offered ? `${offered[0].toUpperCase()}${offered.slice(1)}` : "Choose an item";
  lines.append(note(`${first}. Click any result to turn the search around.`));
  place.replaceChildren(lines);
  document.title = "Cross-modal search";
}

function heading(what, query, item, alike) {
  if (query.modality === "text") return item ? `${what} for “${item.text ?? item.id}”` : `${what} for a text`;
  return alike ? `${what} like this one` : `${what} for this ${query.modality === "pair" ? "pair" : "picture"}`;
}

/** Links to the search by each half of a picture with words. */
function halves({ upload, words, find }) {
  const link = (text, query) =>
    element("a", { className: "half", href: writeAddress({ ...query, find, count: STEP }) }, text);
  return [link("Picture only", { by: "picture", upload }), " · ", link("Words only", { by: "words", words })];
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
