// Greedy search, sampling and beam search (companion.decoding), from a beginning that the reader may have written, and
// with the attention of one word redirected. Explained in the chapter on decoding.
attentionBook.defineSearch = function (book) {
  "use strict";

  const [PAD, START, END, UNK] = [0, 1, 2, 3]; // companion.vocabulary.SPECIALS
  const ALTERNATIVES = 6;

  // Random numbers from 0 to 1 from a seed below 2 ** 32: mulberry32 (Tommy Ettinger 2017, public domain).
  function randomNumbers(seed) {
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  // The log-probabilities of hypothesis b; minus infinity for tokens that may not come: with `last`, all but the end.
  function nextScores({ scores }, b, words, last) {
    const row = scores.slice(b * words, (b + 1) * words);
    return row.map((score, i) => (i === PAD || i === START || i === UNK || (last && i !== END) ? -Infinity : score));
  }

  function best(scores, count) {
    return [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, count);
  }

  // What is kept of one word: itself, its log-probability, its map, and the words that the model found most probable.
  function chosen(token, row, weights) {
    const alternatives = best(row, ALTERNATIVES).map((word) => ({ word, probability: Math.exp(row[word]) }));
    return { token, logProbability: row[token], weights, alternatives };
  }

  const total = (steps) => steps.reduce((sum, step) => sum + step.logProbability, 0);

  // Word by word, each by `choose` from the log-probabilities; the first words are given. With `redirected`, weights
  // over the places, attention brings their average for the first word after these.
  function generate(captioner, first, { prefix, choose, redirected = null }) {
    const { vocabulary, max_words: most } = captioner.model, steps = [];
    for (let state = first, token = START; token !== END; ) {
      const t = steps.length, step = captioner.step([token], state, t === prefix.length ? redirected : null);
      const row = nextScores(step, 0, vocabulary.length, t === most);
      token = t < prefix.length ? prefix[t] : choose(row);
      steps.push(chosen(token, row, step.weights[0]));
      state = step.state;
    }
    return { steps };
  }

  const greedy = (row) => best(row, 1)[0];

  // Draws a word: the first whose cumulated probability exceeds a random number.
  function sampler(temperature, seed) {
    const random = randomNumbers(seed);
    return (row) => {
      const probabilities = Float64Array.from(row, (score) => score / temperature);
      book.softmax(probabilities);
      let rest = random();
      const word = probabilities.findIndex((probability) => (rest -= probability) < 0);
      return word < 0 ? greedy(row) : word; // the sum may be rounded to less than one
    };
  }

  // Keep the `width` best hypotheses at every step. Also returns the tree: for every step the hypotheses that were
  // kept, each with the index of the one that it continues.
  function beamSearch(captioner, first, { prefix, width }) {
    const { vocabulary, max_words: most, length_power: power } = captioner.model, tree = [];
    let kept = [{ steps: [], ended: false }], state = first, tokens = [START];
    for (let t = 0; t <= most; t++) {
      const step = captioner.step(tokens, state), candidates = [];
      kept.forEach((hypothesis, parent) => {
        if (hypothesis.ended) candidates.push({ hypothesis, parent, token: PAD });
        else {
          const row = nextScores(step, parent, vocabulary.length, t === most);
          const next = t < prefix.length ? [prefix[t]] : best(row, width).filter((token) => row[token] > -Infinity);
          for (const token of next) candidates.push({ hypothesis, parent, token, row });
        }
      });
      for (const each of candidates) {
        each.sum = total(each.hypothesis.steps) + (each.row ? each.row[each.token] : 0);
        each.rank = each.sum / (each.hypothesis.steps.length + (each.row ? 1 : 0)) ** power;
      }
      const winners = candidates.sort((a, b) => b.rank - a.rank).slice(0, width);
      kept = winners.map(({ hypothesis, parent, token, row }) => {
        if (!row) return hypothesis;
        return { steps: [...hypothesis.steps, chosen(token, row, step.weights[parent])], ended: token === END };
      });
      tree.push(winners.map(({ parent, token, sum, rank }, i) => ({ parent, token, sum, rank, ended: kept[i].ended })));
      const open = winners.filter((_, i) => !kept[i].ended).map(({ sum }) => sum / (most + 1) ** power);
      if (kept[0].ended && winners[0].rank >= Math.max(...open)) break; // none can overtake it
      state = captioner.reorder(step.state, winners.map(({ parent }) => parent));
      tokens = winners.map(({ token }) => token);
    }
    return { steps: kept[0].steps, tree };
  }

  // Answers requests {image, method, prefix, width, temperature, seed, redirected} one after the other. The features of
  // a picture are kept for the next request, which may be of the same picture.
  function makeServer(model) {
    const captioner = new book.Captioner(model);
    let latest = null;
    return (request) => {
      const image = request.image;
      if (!latest?.image.every((byte, i) => byte === image[i])) {
        latest = { image: image.slice(), state: captioner.start(captioner.encode(image)) };
      }
      const options = { prefix: (request.prefix ?? []).slice(0, model.max_words), width: request.width };
      let result;
      if (request.method === "beam") result = beamSearch(captioner, latest.state, options);
      else {
        const choose = request.method === "sample" ? sampler(request.temperature, request.seed) : greedy;
        result = generate(captioner, latest.state, { ...options, choose, redirected: request.redirected });
      }
      const steps = result.steps.slice(0, -1); // without the end
      return {
        words: steps.map(({ token }) => model.vocabulary[token]),
        maps: steps.map(({ weights }) => weights),
        steps: result.steps,
        tree: result.tree ?? null,
        logProbability: total(result.steps),
      };
    };
  }

  Object.assign(book, { makeServer, randomNumbers });
};
attentionBook.defineSearch(attentionBook);
