// The page. Its address holds the query, and the page shows the results of its address.

import * as api from "./api.js";
import { readAddress, writeAddress, STEP } from "./address.js";
import { card } from "./cards.js";
import { showLanding, showQuery } from "./heading.js";
import { takePictures } from "./pictures.js";

const at = (id) => document.getElementById(id);
const page = Object.fromEntries(
  ["form", "words", "file", "pick", "find", "progress", "query", "error", "status", "results", "more", "facts", "drop"]
    .map((id) => [id, at(id)]),
);
const uploads = new Map(); // The user's files, by the number in the address.
const answers = new Map(); // By address, so that going back is instant.
const KEPT_ANSWERS = 40;
const KINDS = ["images", "texts", "pairs"];
const PLACEHOLDER = page.words.placeholder;
let info = null;
let asking = new AbortController();

/** Opens the page of a query. */
function open(query) {
  history.replaceState({ y: scrollY }, "");
  history.pushState(null, "", writeAddress(query));
  return show(true);
}

/** Shows the results of the address. */
async function show(moved = false, y = 0) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const query = readAddress(location.search);
  page.error.hidden = true;
  setForm(query);
  wait(true);
  try {
    const answer = await answerTo(query, signal);
    if (signal.aborted) return;
    showAnswer(query, answer);
  } catch (error) {
    if (signal.aborted) return;
    showError(query, error);
  }
  wait(false);
  scrollTo(0, y);
  if (moved && query) at("heading").focus({ preventScroll: true });
}

async function answerTo(query, signal) {
  info ??= await api.info();
  showFacts();
  const address = location.search;
  if (answers.has(address)) return answers.get(address);
  const answer = query
    ? await api.search(query, file(query), signal)
    : await api.sample(["pairs", "images", "texts"].find((kind) => info[kind]), STEP);
  answers.set(address, answer);
  if (answers.size > KEPT_ANSWERS) answers.delete(answers.keys().next().value);
  return answer;
}

function file(query) {
  if (query.by !== "picture") return null;
  const upload = uploads.get(query.upload);
  if (!upload) throw new Error("The picture is no longer here. Drop it again.");
  if (upload.file.size > info.limits.body_bytes) {
    throw new Error(`The picture has ${megabytes(upload.file.size)}; expected at most ${megabytes(info.limits.body_bytes)}.`);
  }
  return upload.file;
}

const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function showAnswer(query, answer) {
  if (query) showQuery(page.query, query, answer, uploads.get(query.upload));
  else showLanding(page.query, info);
  const find = answer.find;
  setFind(find, query);
  page.results.className = find === "texts" ? "grid texts" : "grid";
  page.results.replaceChildren(...answer.results.map((item) => card(item, info.bits)));
  page.more.hidden = !query || answer.results.length < query.count || query.count >= info.limits.count;
  page.status.textContent = query ? found(answer) : "";
}

function found(answer) {
  const { length } = answer.results;
  if (!length) return "Nothing found.";
  const what = { images: ["picture", "pictures"], texts: ["text", "texts"], pairs: ["pair", "pairs"] }[answer.find][length > 1 ? 1 : 0];
  return `${length} ${what}, the nearest at distance ${answer.results[0].distance} of ${answer.bits}.`;
}

function showError(query, error) {
  if (query && !(query.by === "picture" && !uploads.get(query.upload))) {
    showQuery(page.query, { ...query, find: wanted(query) }, null, uploads.get(query.upload));
  } else if (info) {
    showLanding(page.query, info);
  }
  setFind(query && wanted(query), query);
  page.error.textContent = sentence(error.message);
  page.error.hidden = false;
  page.results.replaceChildren();
  page.more.hidden = true;
  page.status.textContent = "";
}

/** The kind that a query finds; without one, the server's choice. */
function wanted(query) {
  if (query.find || !info) return query.find ?? "images";
  const picture = (query.by === "picture" && !query.words) || (query.by === "row" && query.modality === "image");
  return (picture ? ["pairs", "texts", "images"] : ["pairs", "images", "texts"]).find((kind) => info[kind]);
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;
}

function setForm(query) {
  page.words.value = query?.words ?? "";
}

function setFind(find, query) {
  page.find.hidden = !query || KINDS.filter((kind) => info?.[kind]).length < 2;
  for (const choice of page.find.querySelectorAll("input")) {
    choice.checked = choice.value === find;
    choice.parentElement.hidden = !info?.[choice.value];
  }
  page.words.placeholder = query?.by === "picture" && takesBoth() ? "Add words to the picture …" : PLACEHOLDER;
}

/** Whether a picture with words is one query. */
function takesBoth() {
  return info?.queries.includes("pair");
}

function showFacts() {
  const count = (part, what) => part && `${part.items.toLocaleString("en")} ${what}`;
  const facts = [count(info.images, "pictures"), count(info.texts, "texts"), count(info.pairs, "pairs"), `${info.bits}-bit codes`];
  page.facts.textContent = [...facts, `${info.method.toUpperCase()} trained on ${info.dataset}`].filter(Boolean).join(" · ");
  page.words.disabled = !info.queries.includes("text");
  page.pick.hidden = !info.queries.includes("image");
}

let late = 0;
function wait(waiting) {
  clearTimeout(late);
  if (waiting) late = setTimeout(() => mark(true), 150);
  else mark(false);
}

function mark(waiting) {
  page.progress.hidden = !waiting;
  page.results.classList.toggle("waiting", waiting);
}

page.form.addEventListener("submit", (event) => {
  event.preventDefault();
  const words = page.words.value.trim();
  const now = readAddress(location.search);
  if (now?.by === "picture" && takesBoth()) open({ ...now, words, count: STEP });
  else if (words) open({ by: "words", words, find: now?.by === "words" ? now.find : null, count: STEP });
});

page.find.addEventListener("change", (event) => {
  const query = readAddress(location.search);
  if (query) open({ ...query, find: event.target.value, count: STEP });
});

page.more.addEventListener("click", async () => {
  const query = readAddress(location.search);
  const before = page.results.children.length;
  const count = Math.min(query.count + STEP, info.limits.count);
  history.replaceState(null, "", writeAddress({ ...query, count }));
  await show(false, scrollY);
  page.results.children[before]?.firstChild.focus({ preventScroll: true });
});

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.card, a.half, a[data-home]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  open(readAddress(link.search));
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  page.words.focus();
});

addEventListener("popstate", (event) => show(false, event.state?.y ?? 0));

takePictures({
  button: page.pick,
  input: page.file,
  curtain: page.drop,
  take(given) {
    const upload = Date.now(); // Not a count: after a reload, old addresses must not name new pictures.
    uploads.set(upload, { file: given, address: URL.createObjectURL(given) });
    const words = takesBoth() ? page.words.value.trim() : "";
    open({ by: "picture", upload, words, find: null, count: STEP });
  },
});

history.scrollRestoration = "manual";
show();
