// Words of the scene captions and their parser: companion.scenes.words and companion.scenes.parser.
(function (book) {
  "use strict";

  const SHAPES = ["circle", "square", "triangle", "star", "cross", "heart"];
  const COLOURS = ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink"];
  const TEXTURES = ["plain", "striped"];
  const COUNTS = { one: 1, two: 2, three: 3, four: 4 };
  const SIZE_OF = { small: "small", little: "small", large: "large", big: "large" };
  const PLURALS = Object.fromEntries(SHAPES.map((shape) => [shape, shape + (shape.endsWith("s") ? "es" : "s")]));
  const PHRASES = [
    ["left of", "left of"], ["left of", "to the left of"], ["left of", "on the left of"],
    ["right of", "right of"], ["right of", "to the right of"], ["right of", "on the right of"],
    ["above", "above"], ["above", "over"], ["below", "below"], ["below", "under"],
    ["inside", "inside"], ["inside", "within"],
  ].map(([name, phrase]) => [name, phrase.split(" ")]);
  const OPENINGS = [["a", "picture", "of"], ["you", "can", "see"]]; // besides "there is" and "here are"
  const RELATION_WORDS = "left right above over below under inside within contains contain".split(" ");

  const CLASS_OF = new Map();
  const classify = (name, words) => words.forEach((word) => CLASS_OF.set(word, name));
  classify("shape", [...SHAPES, ...Object.values(PLURALS)]);
  classify("colour", COLOURS);
  classify("size", Object.keys(SIZE_OF));
  classify("texture", TEXTURES);
  classify("relation", RELATION_WORDS);
  classify("count", Object.keys(COUNTS));
  const WORDS = new Set([...CLASS_OF.keys(), ..."a an and with there here is are".split(" "),
    ...PHRASES.flatMap(([, phrase]) => phrase), ...OPENINGS.flat()]);
  const NOUNS = new Map(SHAPES.flatMap((shape) => [[shape, [shape, false]], [PLURALS[shape], [shape, true]]]));

  const wordClass = (word) => CLASS_OF.get(word) ?? "other";

  // The rule of English of companion.tokenizer: lower case, no punctuation, hyphens and apostrophes inside a word.
  const WORD = /[\p{L}\p{N}]+(?:-[\p{L}\p{N}]+|'(?!s(?![\p{L}\p{N}]))[\p{L}\p{N}]+)*|'s(?![\p{L}\p{N}])/gu;
  const tokenize = (text) => text.toLowerCase().normalize("NFC").replaceAll("’", "'").match(WORD) ?? [];

  // Reads words from left to right. Each `accept` consumes words and returns true if they come next.
  class Parser {
    constructor(words) {
      Object.assign(this, { words, position: 0, phrases: [], claims: [] });
    }

    accept(...expected) {
      const accepted = expected.every((word, i) => this.words[this.position + i] === word);
      if (accepted) this.position += expected.length;
      return accepted;
    }

    acceptAny(...words) {
      return words.some((word) => this.accept(word));
    }

    acceptOpening() {
      const start = this.position;
      if (this.acceptAny("there", "here") && this.acceptAny("is", "are")) return true;
      this.position = start;
      return OPENINGS.some((opening) => this.accept(...opening));
    }

    acceptRelation() {
      return PHRASES.find(([, phrase]) => this.accept(...phrase))?.[0] ?? null;
    }

    // A noun phrase; returns its index. An attribute that it does not mention is null.
    phrase() {
      const { words, position: start } = this, head = words[start] ?? "";
      const counted = Object.hasOwn(COUNTS, head), number = counted ? COUNTS[head] : 1;
      if (!counted && head !== "a" && head !== "an") throw new SyntaxError("no phrase");
      const attributes = { colour: null, size: null, texture: null };
      for (let i = start + 1; i < words.length; i++) {
        const word = words[i], kind = wordClass(word);
        if (kind === "shape") {
          const [shape, plural] = NOUNS.get(word);
          if (plural !== number > 1) break;
          const positions = []; // of all its words but the article
          for (let k = start + (counted ? 0 : 1); k <= i; k++) positions.push(k);
          this.position = i + 1;
          return this.phrases.push({ number, shape, ...attributes, positions }) - 1;
        }
        if (!Object.hasOwn(attributes, kind) || attributes[kind]) break;
        attributes[kind] = kind === "size" ? SIZE_OF[word] : word;
      }
      throw new SyntaxError("no phrase");
    }

    claim(subject, relation, other) {
      this.claims.push({ subject, relation, other });
      return subject;
    }

    // A clause; returns the index of its subject. `previous` is the subject of the clause before it.
    clause(previous) {
      const first = this.acceptRelation();
      if (first) {
        const other = this.phrase();
        if (this.acceptAny("is", "are") || (this.accept("there") && this.acceptAny("is", "are"))) {
          return this.claim(this.phrase(), first, other); // "inside a blue square is a star"
        }
        if (previous === null) throw new SyntaxError("no subject");
        return this.claim(previous, first, other); // "... and above a blue square"
      }
      const opened = this.acceptOpening(), subject = this.phrase();
      if (this.acceptAny("contains", "contain")) {
        this.claim(this.phrase(), "inside", subject);
        return subject;
      }
      const verb = !opened && this.acceptAny("is", "are"), relation = this.acceptRelation();
      if (relation) return this.claim(subject, relation, this.phrase());
      if (verb) throw new SyntaxError("a verb without a relation");
      return subject;
    }

    statement() {
      let subject = this.clause(null);
      while (this.position < this.words.length) {
        if (!this.acceptAny("and", "with")) throw new SyntaxError("no clause");
        subject = this.clause(subject);
      }
      return { words: this.words, phrases: this.phrases, claims: this.claims };
    }
  }

  // The content of a caption, {words, phrases, claims}, or null if it is not one of the scene grammar.
  function parse(caption) {
    try {
      return new Parser(tokenize(caption)).statement();
    } catch (error) {
      if (error instanceof SyntaxError) return null;
      throw error;
    }
  }

  // A phrase without article or number: "small red circles".
  function describe({ number, shape, colour, size, texture }) {
    return [size, texture, colour, number === 1 ? shape : PLURALS[shape]].filter(Boolean).join(" ");
  }

  Object.assign(book, { SHAPES, COLOURS, COUNTS, SIZE_OF, PLURALS, WORDS, wordClass, tokenize, parse, describe });
})((globalThis.attentionBook ??= {}));
