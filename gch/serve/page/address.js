// Queries in the address of the page: ?q=words, ?image=row, ?text=row, ?pair=row, or ?picture=number of an upload,
// perhaps with words.

export const STEP = 48;

/** The query of an address, null on the first page. */
export function readAddress(search) {
  const given = new URLSearchParams(search);
  const find = ["images", "texts", "pairs"].includes(given.get("find")) ? given.get("find") : null;
  const count = natural(given.get("count")) ?? STEP;
  const words = given.get("q")?.trim();
  const upload = natural(given.get("picture"));
  if (upload !== null) return { by: "picture", upload, words, find, count };
  if (words) return { by: "words", words, find, count };
  for (const modality of ["image", "text", "pair"]) {
    const row = natural(given.get(modality));
    if (row !== null) return { by: "row", modality, row, find, count };
  }
  return null;
}

/** The address of a query. */
export function writeAddress(query) {
  if (!query) return "/";
  const fields = new URLSearchParams();
  if (query.words) fields.set("q", query.words);
  if (query.by === "row") fields.set(query.modality, query.row);
  if (query.by === "picture") fields.set("picture", query.upload);
  if (query.find) fields.set("find", query.find);
  if (query.count !== STEP) fields.set("count", query.count);
  return `/?${fields}`;
}

function natural(text) {
  return /^\d{1,15}$/.test(text ?? "") ? Number(text) : null;
}
