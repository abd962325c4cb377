// The page: its state, its controls, and what happens after a change: draw, caption, grade, show.
(function (book) {
  "use strict";

  const { element, folded, clamp } = book;
  const SCRIPT = document.currentScript.src, REST = 600; // milliseconds without a change before a caption is read out

  const state = {
    objects: book.FIRST, seed: 0, selected: 0, mode: "move",
    method: "greedy", width: 3, temperature: 1, draw: 0, prefix: [], word: null,
  };
  let scene = null, result = null, ask = null, update = null, background = book.background(state.seed);
  let changes = 0, answered = 0, redirections = 0; // so far; `answered` is the change that `result` belongs to
  let resting = null, refocus = null; // a timer, and the word to focus when it has come
  const random = book.randomNumbers(7);

  const picture = new book.Picture({
    select: (i) => (state.mode === "redirect" ? redirect(i) : selectObject(i)),
    focus: selectObject, move, resize, remove,
  });
  const sentence = new book.Sentence({ select: selectWord, preview, replace, redirect });
  const tree = book.treeView(), python = folded("This scene in Python");
  const announcer = element("p", { className: "visually-hidden", role: "status" });
  const timing = element("p", { className: "laboratory-timing" });
  const notes = element("ul", { className: "laboratory-notes" });
  const controls = book.sceneControls({
    mode: (name) => (state.mode = name), change: (change) => replaceObject(state.selected, change),
    radius: (radius) => setRadius(state.selected, radius), remove: () => remove(state.selected), add, another,
  });
  const search = book.searchControls(state, (change) => changed(Object.assign(state, change)), readPrefix);

  // -- changes of the scene ------------------------------------------------------------------------------------------

  function setObjects(objects) {
    state.objects = objects;
    state.selected = Math.min(state.selected, objects.length - 1);
    changed();
  }

  const replaceObject = (i, change) => setObjects(state.objects.map((o, k) => (k === i ? { ...o, ...change } : o)));

  // Move an object, and with it what lies inside it.
  function move(i, row, col) {
    if (state.mode !== "move") return;
    const object = state.objects[i];
    const down = clamp(row, object.radius) - object.row, right = clamp(col, object.radius) - object.col;
    if (!down && !right) return;
    const moves = (o) => o === object || book.inside(o, object);
    setObjects(state.objects.map((o) => (moves(o) ? { ...o, row: o.row + down, col: o.col + right } : o)));
  }

  function setRadius(i, radius) {
    const { row, col } = state.objects[i];
    radius = Math.min(book.RADII.max, Math.max(book.RADII.min, radius));
    replaceObject(i, { radius, size: book.sizeOf(radius), row: clamp(row, radius), col: clamp(col, radius) });
  }

  function resize(i, change) {
    setRadius(i, state.objects[i].radius + change * book.RADII.step);
  }

  function remove(i) {
    if (state.objects.length === 1) return;
    setObjects(state.objects.filter((_, k) => k !== i));
    picture.handles.children[state.selected].focus();
  }

  function add() {
    const objects = book.withAnother(state.objects, 7.5, random) ?? book.withAnother(state.objects, 5.5, random);
    if (!objects) {
      announcer.textContent = "There is no room for another object.";
      return;
    }
    state.selected = objects.length - 1;
    setObjects(objects);
  }

  function another() {
    state.seed += 1;
    state.word = null;
    background = book.background(state.seed);
    setObjects(book.randomScene(random));
  }

  function selectObject(i) {
    state.selected = i;
    picture.showSelected(i);
    controls.show(i, state.objects);
  }

  // -- changes of the sentence ---------------------------------------------------------------------------------------

  function selectWord(t) {
    state.word = t;
    sentence.showSelected(t, book.model);
    preview(null);
  }

  // Show the map of word t, or that of the selected word, or no map.
  function preview(t) {
    picture.showMap(result?.maps[t ?? state.word] ?? null);
  }

  // Begin the sentence with the words before t and another word at t.
  function replace(t, word) {
    state.prefix = [...result.steps.slice(0, t).map(({ token }) => token), word];
    search.showPrefix(state.prefix.map((token) => book.model.vocabulary[token]));
    search.note();
    refocus = t;
    changed();
  }

  // Take the words that the model knows, up to the first that it does not.
  function readPrefix(text) {
    const words = book.tokenize(text), known = words.map((word) => book.model.vocabulary.indexOf(word));
    const unknown = known.findIndex((token) => token < 4), most = book.model.max_words;
    state.prefix = (unknown < 0 ? known : known.slice(0, unknown)).slice(0, most);
    search.note();
    if (unknown >= 0 && unknown < most) {
      const word = element("bdi", {}, `“${words[unknown].slice(0, 30)}”`);
      search.note(word, " is not one of the model's words; the sentence is begun with those before it.");
    } else if (words.length > most) search.note(`A caption has at most ${most} words; the rest is left out.`);
    changed();
  }

  // Predict the selected word again with its attention on an object, and go on from there.
  async function redirect(object) {
    const t = state.word, now = ++redirections, before = changes;
    if (t === null) {
      const hint = "Select a word of the sentence first; then click the object that it shall attend to.";
      notes.replaceChildren(element("li", {}, element("span", { role: "status" }, hint)));
      return;
    }
    if (answered !== changes) return; // the sentence is still that of the scene before
    if (object === null) {
      selectWord(t);
      return;
    }
    const weights = book.covered([scene.masks[object]], book.model.grid[0]);
    const sum = weights.reduce((total, weight) => total + weight, 0);
    if (!sum) return; // the object is hidden by another one
    const redirected = Float32Array.from(weights, (weight) => weight / sum);
    const prefix = result.steps.slice(0, t).map(({ token }) => token);
    const outcome = await ask({ image: scene.image, method: "greedy", prefix, redirected });
    if (now !== redirections || before !== changes) return; // something has changed meanwhile
    sentence.showRedirected(t, object, outcome);
    picture.showMap(redirected);
  }

  // -- after every change --------------------------------------------------------------------------------------------

  function changed() {
    const { objects, method, width, temperature, draw, prefix } = state, since = performance.now();
    changes += 1;
    scene = book.paint(objects, background);
    picture.drawScene(scene, objects);
    selectObject(state.selected);
    notes.replaceChildren(...book.oddities(objects, scene).map((line) => element("li", {}, line)));
    python.fill(element("pre", {}, element("code", {}, book.asPython(objects, state.seed))));
    const request = { image: scene.image, method, width, temperature, seed: draw, prefix };
    sentence.words.setAttribute("aria-busy", "true");
    update?.(request, { objects, masks: scene.masks, since, number: changes });
  }

  function answer(newResult, { objects, masks, since, number }) {
    result = newResult;
    answered = number;
    const text = result.words.join(" "), explanation = book.explain(text, objects), isTrue = book.isTrue(text, objects);
    const graded = book.grade(result.words, result.maps, { objects, masks });
    sentence.show({ result, graded, objects, explanation, isTrue });
    if (state.word !== null && state.word >= result.words.length) state.word = null;
    sentence.showSelected(state.word, book.model);
    preview(null);
    tree.show(result.tree, book.model.vocabulary);
    performance.measure("attentionBook.edit", { start: since });
    const milliseconds = Math.round(performance.now() - since);
    const logProbability = book.signed(result.logProbability);
    timing.textContent = `${milliseconds} ms from the change to the caption; log-probability ${logProbability}.`;
    clearTimeout(resting);
    resting = setTimeout(() => (announcer.textContent = `${text}: ${explanation}`), REST);
    sentence.words.setAttribute("aria-busy", number !== changes);
    if (refocus !== null) sentence.focusWord(refocus);
    refocus = null;
  }

  // -- the page ------------------------------------------------------------------------------------------------------

  const HINT = "Drag an object, or focus it and use the arrow keys (with Shift: four pixels), plus and minus for its " +
    "size, Delete to remove it.";

  // Put everything into the page; returns the folded list of the model's words.
  function build(root) {
    const words = folded("The model's words");
    const hint = element("p", { id: "laboratory-keys", className: "laboratory-note" }, HINT);
    const part = (name, ...children) => element("div", { className: `laboratory-${name}` }, children);
    root.replaceChildren(
      part("columns", part("view", picture.node, hint, notes),
        part("text", sentence.words, sentence.verdict, sentence.pointing, timing, sentence.word, search.node),
        part("scene", controls.node)),
      tree.node, sentence.table, python, words, announcer,
    );
    return words;
  }

  // The model's file is loaded after the page has been built: it is three megabytes.
  function start() {
    const root = document.getElementById("laboratory"), words = build(root);
    changed();
    timing.textContent = "Loading the model …";
    const script = element("script", { src: new URL("model.js", SCRIPT).href });
    script.addEventListener("load", () => {
      ask = book.connect(book.model);
      update = book.latestOnly(ask, answer);
      words.fill(element("p", {}, book.model.vocabulary.slice(4).join(" ")));
      changed();
    });
    script.addEventListener("error", () => {
      timing.textContent = "The model's file, model.js, is not beside this page's scripts; `make book` writes it.";
    });
    document.head.append(script);
  }

  start();
})(attentionBook);
