/* BLEU, ROUGE-L and CIDEr-D, as in companion.metrics: the same words, counts, idf and penalties. */
"use strict";
window.attentionBook = window.attentionBook || {};

(() => {
  const metrics = (window.attentionBook.metrics = {});
  const ORDERS = [1, 2, 3, 4],
    BETA = 1.2,
    SIGMA = 6;
  const GAP = "\u0000"; // joins the words of an n-gram; no word contains it

  /* English words in lower case: letters and digits, hyphens and apostrophes inside, a possessive 's apart. */
  const PART = "[\\p{L}\\p{N}]";
  const WORD = new RegExp(`${PART}+(?:-${PART}+|'(?!s(?!${PART}))${PART}+)*|'s(?!${PART})`, "gu");
  metrics.tokenize = (text) => text.toLowerCase().normalize("NFC").replaceAll("’", "'").match(WORD) || [];

  /* How often each n-gram of one order occurs. */
  const ngrams = (words, order) => {
    const counts = new Map();
    for (let i = 0; i + order <= words.length; i += 1) {
      const gram = words.slice(i, i + order).join(GAP);
      counts.set(gram, (counts.get(gram) || 0) + 1);
    }
    return counts;
  };
  const sum = (numbers) => [...numbers].reduce((a, b) => a + b, 0);

  /* Matches and totals of each order, and BLEU-1 to BLEU-4, of one candidate (lists of words). */
  metrics.bleu = (candidate, references) => {
    const counted = ORDERS.map((order) => {
      const known = references.map((reference) => ngrams(reference, order));
      const own = ngrams(candidate, order);
      const matches = sum(
        [...own].map(([gram, count]) => Math.min(count, Math.max(...known.map((each) => each.get(gram) || 0)))),
      );
      return { matches, total: sum(own.values()) };
    });
    const length = candidate.length;
    const closest = references
      .map((reference) => reference.length)
      .reduce((best, other) => {
        const nearer = Math.abs(other - length) - Math.abs(best - length);
        return nearer < 0 || (nearer === 0 && other < best) ? other : best;
      });
    const brevity = length ? Math.min(1, Math.exp(1 - closest / length)) : 0;
    let product = 1;
    const scores = counted.map(({ matches, total }, i) => {
      product *= total ? matches / total : 0;
      return brevity * product ** (1 / (i + 1));
    });
    return { counted, brevity, scores };
  };

  /* Words in the longest common subsequence. */
  const common = (one, other) => {
    let above = new Array(other.length + 1).fill(0);
    for (const word of one) {
      const row = [0];
      other.forEach((match, j) => row.push(word === match ? above[j] + 1 : Math.max(above[j + 1], row[j])));
      above = row;
    }
    return above.at(-1);
  };

  metrics.rougeL = (candidate, references) => {
    const lengths = references.map((reference) => common(candidate, reference));
    if (!lengths.some(Boolean)) return 0;
    const precision = Math.max(...lengths) / candidate.length;
    const recall = Math.max(...lengths.map((length, i) => (references[i].length ? length / references[i].length : 0)));
    return ((1 + BETA ** 2) * precision * recall) / (recall + BETA ** 2 * precision);
  };

  /* In how many pictures of a corpus (lists of references, which are lists of words) each n-gram occurs. */
  metrics.frequencies = (corpus) => {
    const pictures = new Map();
    for (const references of corpus) {
      const seen = new Set(references.flatMap((words) => ORDERS.flatMap((order) => [...ngrams(words, order).keys()])));
      for (const gram of seen) pictures.set(gram, (pictures.get(gram) || 0) + 1);
    }
    return { pictures, count: corpus.length };
  };

  /* CIDEr-D of one candidate, 0 to 10, with the frequencies of a corpus. */
  metrics.ciderD = (candidate, references, { pictures, count }) => {
    const vector = (words, order) =>
      new Map([...ngrams(words, order)].map(([gram, tf]) => [gram, tf * Math.log(count / (pictures.get(gram) || 1))]));
    const norm = (weights) => Math.sqrt(sum([...weights.values()].map((x) => x * x)));
    const similarity = (reference) => {
      const cosines = ORDERS.map((order) => {
        const c = vector(candidate, order),
          s = vector(reference, order),
          norms = norm(c) * norm(s);
        const shared = sum([...s].map(([gram, weight]) => Math.min(c.get(gram) || 0, weight) * weight));
        return norms > 0 ? shared / norms : 0;
      });
      return (
        (10 / ORDERS.length) * sum(cosines) * Math.exp(-((candidate.length - reference.length) ** 2) / (2 * SIGMA ** 2))
      );
    };
    return sum(references.map(similarity)) / references.length;
  };
})();
