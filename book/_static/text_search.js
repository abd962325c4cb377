/* The search: as the reader types, the sections that have all the words, each with an excerpt.

   The theme would fetch every page that it finds to make an excerpt, which a browser refuses for pages opened from a
   disk. Here the text of the book is a script, `text_index.js` (made by tools/text_index.py), which is loaded when
   somebody begins to search. Results are links: Tab and the arrow keys go through them, Enter in the field opens the
   first. Text goes into the page as text. */
"use strict";
window.attentionBook = window.attentionBook || {};

(() => {
  const LIMIT = 20;     // results
  const BEFORE = 50;    // characters of an excerpt before its first match
  const LENGTH = 180;   // characters of an excerpt
  const root = document.documentElement.dataset.content_root || "./";

  /* Lower case without accents, character by character, so that positions stay those of the original. */
  const plain = (text) => Array.from(text, (letter) => {
    const bare = letter.normalize("NFD").replace(/\p{Mn}/gu, "").toLowerCase();
    return bare.length === letter.length ? bare : letter;
  }).join("");

  const wordsOf = (query) => [...new Set(plain(query).split(/[^\p{L}\p{N}_.]+/u).filter(Boolean))];

  /* How well a section fits: 0 if a word is missing; words of a heading count more, and so do beginnings of words. */
  function score(section, words) {
    let sum = 0;
    for (const word of words) {
      const parts = [[section.plainTitle, 12], [section.plainHeading, 8], [section.plainText, 1]];
      let best = 0;
      for (const [text, weight] of parts) {
        const at = text.indexOf(word);
        if (at < 0) continue;
        const begins = (` ${text}`).search(new RegExp(`[^\\p{L}\\p{N}]${word.replaceAll(".", "\\.")}`, "u")) >= 0;
        best += begins ? 2 * weight : weight;
      }
      if (best === 0) return 0;
      sum += best;
    }
    return sum;
  }

  /* The sections that have all the words, best first; of equal ones the earlier. */
  function search(sections, query) {
    const words = wordsOf(query);
    if (!words.length) return [];
    return sections
      .map((section) => ({ section, words, score: score(section, words) }))
      .filter((hit) => hit.score > 0)
      .sort((one, other) => other.score - one.score);
  }

  /* Pieces of an excerpt around the first match: [text, whether it is a match]. */
  function excerpt({ section, words }) {
    const { text, plainText } = section;
    const firsts = words.map((word) => plainText.indexOf(word)).filter((at) => at >= 0);
    let from = firsts.length ? Math.max(0, Math.min(...firsts) - BEFORE) : 0;
    if (from > 0) from = text.indexOf(" ", from) + 1;
    let to = Math.min(text.length, from + LENGTH);
    if (to < text.length && text.lastIndexOf(" ", to) > from) to = text.lastIndexOf(" ", to);
    const matches = new RegExp(words.map((word) => word.replaceAll(".", "\\.")).join("|"), "gu");
    const pieces = from > 0 ? [["… ", false]] : [];
    let at = from;
    for (const match of plainText.slice(from, to).matchAll(matches)) {
      const start = from + match.index;
      if (start > at) pieces.push([text.slice(at, start), false]);
      pieces.push([text.slice(start, start + match[0].length), true]);
      at = start + match[0].length;
    }
    pieces.push([text.slice(at, to), false]);
    if (to < text.length) pieces.push([" …", false]);
    return pieces;
  }

  let loading = null;
  /* The sections of the book, once their script has come. */
  function load() {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${root}_static/text_index.js`;
      script.onload = () => resolve(prepared(window.attentionBook.text));
      script.onerror = () => reject(new Error("the index is missing"));
      document.head.append(script);
    });
    return loading;
  }

  function prepared(pages) {
    return pages.flatMap(([title, address, sections]) => sections.map(([heading, anchor, text]) => ({
      title, heading, text, address: anchor ? `${address}#${anchor}` : address,
      plainTitle: plain(title), plainHeading: plain(heading), plainText: plain(text),
    })));
  }

  function element(name, className, ...children) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  function result(hit) {
    const { section } = hit;
    const link = element("a", "", section.title);
    link.href = root + section.address;
    if (section.heading) link.append(" › ", section.heading);
    const pieces = excerpt(hit).map(([text, match]) => (match ? element("mark", "", text) : text));
    return element("li", "", link, element("p", "", ...pieces));
  }

  function mount(form) {
    const field = form.querySelector("input[type=search]");
    const status = element("p", "text-search__status");
    status.setAttribute("role", "status");
    const list = element("ol", "text-search__results");
    const panel = element("div", "text-search", status, list);
    form.after(panel);

    async function update() {
      const query = field.value;
      let hits;
      try {
        hits = search(await load(), query);
      } catch (error) {
        status.textContent = `No search: ${error.message}.`;
        return;
      }
      if (query !== field.value) return;
      list.replaceChildren(...hits.slice(0, LIMIT).map(result));
      if (!wordsOf(query).length) status.textContent = "";
      else if (!hits.length) status.textContent = "No section has all these words.";
      else if (hits.length === 1) status.textContent = "One section.";
      else status.textContent = `${hits.length} sections${hits.length > LIMIT ? `, the best ${LIMIT} of them here` : ""}.`;
    }

    field.addEventListener("input", update);
    field.addEventListener("focus", () => load().catch(() => {}), { once: true });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      await update();
      list.querySelector("a")?.click();
    });
    // The arrow keys go from the field through the results, and back.
    form.parentElement.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const stops = [field, ...list.querySelectorAll("a")];
      const at = stops.indexOf(document.activeElement);
      if (!step || at < 0) return;
      event.preventDefault();
      stops[Math.min(Math.max(at + step, 0), stops.length - 1)].focus();
    });
    list.addEventListener("click", (event) => {
      if (event.target.closest("a")) form.closest("dialog")?.close(); // the section may be on this page
    });
    return update;
  }

  addEventListener("DOMContentLoaded", () => {
    for (const form of document.querySelectorAll("form.bd-search")) {
      const update = mount(form);
      const query = new URLSearchParams(location.search).get("q");
      if (query && !form.closest("dialog")) {
        form.querySelector("input[type=search]").value = query;
        update();
      }
    }
  });

  Object.assign(window.attentionBook, { search, excerpt, prepared });
})();
