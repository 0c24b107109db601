// The server's JSON API. Every function throws an Error whose message can be shown.

export const info = () => ask("/api/info");

export const sample = (find, count) => ask(`/api/sample?${new URLSearchParams({ find, count })}`);

export function search(query, file, signal) {
  const { count } = query;
  const fields = new URLSearchParams({ count, ...(query.find && { find: query.find }) });
  if (query.by === "row") {
    fields.set("modality", query.modality);
    fields.set("row", query.row);
    return ask(`/api/search/row?${fields}`, { signal });
  }
  if (query.by === "picture") {
    const headers = { "content-type": "application/octet-stream" };
    if (query.words) fields.set("text", query.words);
    return ask(`/api/search/picture?${fields}`, { method: "POST", headers, body: file, signal });
  }
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ text: query.words, find: query.find, count });
  return ask("/api/search/text", { method: "POST", headers, body, signal });
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached. Is it still running?");
  }
  const content = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(content?.error ?? `The server answered with status ${answer.status}.`);
  return content;
}
