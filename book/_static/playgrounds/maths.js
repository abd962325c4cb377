/* The mathematics of the playgrounds: plain functions on arrays of numbers. tests/browser/test_playgrounds.py feeds
   them random numbers and compares with PyTorch and the companion. */
"use strict";
window.attentionBook = window.attentionBook || {};

(() => {
  const maths = (window.attentionBook.maths = {});

  maths.sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  maths.dot = (a, b) => maths.sum(a.map((x, i) => x * b[i]));
  maths.squaredDistance = (a, b) => maths.sum(a.map((x, i) => (x - b[i]) ** 2));

  /* Exponentials of the scores less the largest one, which no weight notices and no number overflows by. */
  maths.exponentials = (scores) => {
    const top = Math.max(...scores);
    return scores.map((score) => Math.exp(score - top));
  };

  maths.softmax = (scores) => {
    const exponentials = maths.exponentials(scores);
    const total = maths.sum(exponentials);
    return exponentials.map((exponential) => exponential / total);
  };

  /* The average of vectors, one for each weight. */
  maths.average = (weights, vectors) =>
    vectors[0].map((_, channel) => maths.sum(weights.map((w, i) => w * vectors[i][channel])));

  /* Scores of one query by its dot product with each key, or by minus the squared distance. */
  maths.scores = (kind, query, keys) =>
    keys.map((key) => (kind === "dot" ? maths.dot(query, key) : -maths.squaredDistance(query, key)));

  /* Every channel several times over: the vector of a wider model whose channels agree. */
  maths.repeat = (vector, times) => Array.from({ length: times }, () => vector).flat();

  /* Entropy in nats: 0 if one place has all the weight, log n if all have the same. */
  maths.entropy = (weights) => maths.sum(weights.map((w) => (w > 0 ? -w * Math.log(w) : 0)));

  /* The norm of the derivatives of all weights with respect to all scores: diag(w) - w wᵀ. */
  maths.jacobianNorm = (weights) =>
    Math.sqrt(maths.sum(weights.flatMap((a, i) => weights.map((b, j) => ((i === j ? a : 0) - a * b) ** 2))));

  maths.deviation = (numbers) => {
    const mean = maths.sum(numbers) / numbers.length;
    return Math.sqrt(maths.sum(numbers.map((x) => (x - mean) ** 2)) / (numbers.length - 1));
  };

  /* Uniform numbers from a seed (mulberry32), so that a draw can be repeated. */
  maths.uniform = (seed) => () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };

  /* Independent normal numbers with mean zero and variance one (Box and Muller). */
  maths.normal = (seed) => {
    const uniform = maths.uniform(seed);
    return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  };

  /* Weights of one row of scores under a mask (true: allowed), in one of the chapter's four ways. */
  maths.maskedWeights = {
    infinity: (scores, mask) => {
      const kept = scores.map((score, i) => (mask[i] ? score : -Infinity));
      return mask.some(Boolean) ? maths.softmax(kept) : scores.map(() => NaN);
    },
    constant: (scores, mask) => maths.softmax(scores.map((score, i) => (mask[i] ? score : -1e9))),
    late: (scores, mask) => maths.softmax(scores).map((weight, i) => (mask[i] ? weight : 0)),
    zeros: (scores, mask) => (mask.some(Boolean) ? maths.maskedWeights.infinity(scores, mask) : scores.map(() => 0)),
  };

  /* A vector cut into `heads` parts of equal length, in order. */
  maths.split = (vector, heads) => {
    const width = vector.length / heads;
    return Array.from({ length: heads }, (_, head) => vector.slice(head * width, (head + 1) * width));
  };

  /* Every head's weights and context, and the contexts side by side. Scaled by the root of a head's channels. */
  maths.heads = (query, keys, values, heads) => {
    const queries = maths.split(query, heads);
    const parts = queries.map((part, head) => {
      const ownKeys = keys.map((key) => maths.split(key, heads)[head]);
      const ownValues = values.map((value) => maths.split(value, heads)[head]);
      const scores = maths.scores("dot", part, ownKeys).map((score) => score / Math.sqrt(part.length));
      const weights = maths.softmax(scores);
      return { scores, weights, context: maths.average(weights, ownValues) };
    });
    const mean = keys.map((_, place) => maths.sum(parts.map((part) => part.weights[place])) / heads);
    return { parts, mean, context: parts.flatMap((part) => part.context) };
  };
})();
