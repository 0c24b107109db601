// Queries in the address of the page: ?q=words, ?image=row, ?text=row, or ?picture=number of an upload.

export const STEP = 48;

/** The query of an address, null on the first page. */
export function readAddress(search) {
  const given = new URLSearchParams(search);
  const find = ["images", "texts"].includes(given.get("find")) ? given.get("find") : null;
  const count = natural(given.get("count")) ?? STEP;
  const words = given.get("q")?.trim();
  if (words) return { by: "words", words, find, count };
  for (const modality of ["image", "text"]) {
    const row = natural(given.get(modality));
    if (row !== null) return { by: "row", modality, row, find, count };
  }
  const upload = natural(given.get("picture"));
  return upload === null ? null : { by: "picture", upload, find, count };
}

/** The address of a query. */
export function writeAddress(query) {
  if (!query) return "/";
  const fields = new URLSearchParams();
  if (query.by === "words") fields.set("q", query.words);
  if (query.by === "row") fields.set(query.modality, query.row);
  if (query.by === "picture") fields.set("picture", query.upload);
  if (query.find) fields.set("find", query.find);
  if (query.count !== STEP) fields.set("count", query.count);
  return `/?${fields}`;
}

function natural(text) {
  return /^\d{1,15}$/.test(text ?? "") ? Number(text) : null;
}
