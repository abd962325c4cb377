// Truth of a caption, and which object each word refers to: companion.scenes.semantics and the pointing game of
// companion.metrics.grounding. Explained in the chapters on the drawn world and on grounding.
(function (book) {
  "use strict";

  const TRUE_OFFSET = 4; // pixels between the centres, from which "left of" is true
  const CLASSES = ["shape", "colour", "size", "texture"]; // of the words that are graded: they name visible objects
  const SHAPE_OF = Object.fromEntries(Object.entries(book.PLURALS).map(([shape, plural]) => [plural, shape]));

  // Whether the bounding box of `inner` lies in that of `outer`.
  function inside(inner, outer) {
    const offset = Math.max(Math.abs(inner.row - outer.row), Math.abs(inner.col - outer.col));
    return inner.radius < outer.radius && offset + inner.radius <= outer.radius;
  }

  function holds(relation, subject, other) {
    if (relation === "inside") return inside(subject, other);
    if (inside(subject, other) || inside(other, subject)) return false;
    const down = subject.row - other.row, across = subject.col - other.col;
    return { "left of": -across, "right of": across, above: -down, below: down }[relation] >= TRUE_OFFSET;
  }

  const matches = (phrase, object) =>
    CLASSES.every((kind) => phrase[kind] === null || phrase[kind] === object[kind]);

  // The ways to choose `count` of some items, in the order in which they stand.
  function* combinations(items, count) {
    if (!count) yield [];
    for (let i = 0; count && i <= items.length - count; i++) {
      for (const rest of combinations(items.slice(i + 1), count - 1)) yield [items[i], ...rest];
    }
  }

  // Every assignment of objects to phrases under which the statement is true, no object in two phrases.
  function* assignments(statement, objects, partial = []) {
    const { phrases, claims } = statement;
    if (partial.length === phrases.length) {
      const holding = ({ subject, relation, other }) =>
        partial[subject].every((i) => partial[other].every((j) => holds(relation, objects[i], objects[j])));
      if (claims.every(holding)) yield partial;
      return;
    }
    const phrase = phrases[partial.length], taken = new Set(partial.flat());
    const free = [...objects.keys()].filter((i) => !taken.has(i) && matches(phrase, objects[i]));
    for (const members of combinations(free, phrase.number)) {
      yield* assignments(statement, objects, [...partial, members]);
    }
  }

  const first = (statement, objects) => assignments(statement, objects).next().value ?? null;

  function isTrue(caption, objects) {
    const statement = book.parse(caption);
    return statement !== null && first(statement, objects) !== null;
  }

  // For each word the objects that it refers to, or null if the caption is not true.
  function align(caption, objects) {
    const statement = book.parse(caption), readings = statement ? [...assignments(statement, objects)] : [];
    if (!readings.length) return null;
    const aligned = statement.words.map(() => []);
    statement.phrases.forEach((phrase, i) => {
      const members = [...new Set(readings.flatMap((reading) => reading[i]))].sort((a, b) => a - b);
      for (const position of phrase.positions) aligned[position] = members;
    });
    return aligned;
  }

  // One line that says why a caption is false, or what a true caption leaves out, if anything.
  function explain(caption, objects) {
    const statement = book.parse(caption);
    if (!statement) {
      const unknown = book.tokenize(caption).find((word) => !book.WORDS.has(word));
      const quoted = unknown?.includes("'") ? `"${unknown}"` : `'${unknown}'`;
      return `not understood: ${unknown ? `the word ${quoted} is unknown` : "not built like a caption"}`;
    }
    const reading = first(statement, objects);
    if (!reading) return missingObject(statement, objects) ?? falseClaim(statement, objects);
    const named = new Set(reading.flat());
    const full = ({ size, texture, colour, shape }) => `the ${size} ${texture} ${colour} ${shape}`;
    const omitted = objects.filter((_, i) => !named.has(i)).map(full);
    return omitted.length ? `true, but it leaves out ${omitted.join(" and ")}` : "true, and it names everything";
  }

  function missingObject(statement, objects) {
    const countWord = (number) => Object.keys(book.COUNTS)[number - 1];
    for (const phrase of statement.phrases) {
      const matching = objects.filter((object) => matches(phrase, object)).length;
      const singular = book.describe({ ...phrase, number: 1 });
      if (!matching) return `there is no ${singular}`;
      if (matching < phrase.number) {
        const several = `are only ${countWord(matching)} ${book.describe(phrase)}`;
        return `there ${matching === 1 ? `is only one ${singular}` : several}, not ${countWord(phrase.number)}`;
      }
    }
    if (first({ ...statement, claims: [] }, objects)) return null;
    return "it mentions more objects than there are: no object may be counted twice";
  }

  function falseClaim(statement, objects) {
    for (const claim of statement.claims) {
      if (first({ ...statement, claims: [claim] }, objects)) continue;
      const subject = statement.phrases[claim.subject], other = statement.phrases[claim.other];
      const verb = subject.number === 1 ? "is" : "are";
      return `the ${book.describe(subject)} ${verb} not ${claim.relation} the ${book.describe(other)}`;
    }
    return "each relation holds for some objects, but not all of them at once";
  }

  // The objects that a word for shape, colour, size or texture describes by itself.
  function referents(word, objects) {
    const kind = book.wordClass(word), attribute = book.SIZE_OF[word] ?? SHAPE_OF[word] ?? word;
    return CLASSES.includes(kind) ? [...objects.keys()].filter((i) => objects[i][kind] === attribute) : [];
  }

  // The share of each cell of a grid of side x side that lies on one of some masks; cells are whole pixels.
  function covered(masks, side) {
    const cell = book.SIDE / side, shares = new Float64Array(side * side);
    for (let p = 0; p < book.SIDE ** 2; p++) {
      if (!masks.some((mask) => mask[p])) continue;
      shares[Math.floor(p / book.SIDE / cell) * side + Math.floor((p % book.SIDE) / cell)] += 1 / cell ** 2;
    }
    return shares;
  }

  // The pointing game: whether every largest weight of a map lies in a cell that the objects cover at least in part.
  function pointing(weights, shares) {
    const top = Math.max(...weights);
    return weights.every((weight, place) => weight !== top || shares[place] > 0);
  }

  // For each word {members, hit}: the objects that it refers to and whether its map has its peak on one of them; or
  // null for a word that is not graded. In a false caption a word refers to what it describes by itself.
  function grade(words, maps, { objects, masks }) {
    const aligned = align(words.join(" "), objects);
    return words.map((word, t) => {
      const members = aligned ? aligned[t] : referents(word, objects);
      if (!members.length || !CLASSES.includes(book.wordClass(word))) return null;
      const shares = covered(members.map((i) => masks[i]), Math.sqrt(maps[t].length));
      return { members, hit: pointing(maps[t], shares) };
    });
  }

  Object.assign(book, { inside, holds, isTrue, align, explain, referents, covered, pointing, grade });
})((globalThis.attentionBook ??= {}));
