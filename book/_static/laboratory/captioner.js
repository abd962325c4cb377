// The captioner of scenes without a library: companion.encoders.ConvEncoder with self-attention, and the LSTM decoder
// with coverage attention. The sizes of all layers come from the weights that `companion.exporting.script` wrote.
attentionBook.defineCaptioner = function (book) {
  "use strict";

  const { matmul, convolve, relu, gelu, add, softmax } = book;
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));

  // The positional encoding of the places of a grid: eight channels each (companion.encoders.grid_positions).
  function gridPositions(side) {
    const channels = [];
    for (let p = 0; p < side * side; p++) {
      const y = -1 + (2 * Math.floor(p / side)) / (side - 1), x = -1 + (2 * (p % side)) / (side - 1);
      const [u, v] = [Math.PI * y, Math.PI * x];
      channels.push(y, x, y * y, x * x, Math.sin(u), Math.sin(v), Math.cos(u), Math.cos(v));
    }
    return Float32Array.from(channels);
  }

  class Captioner {
    constructor(model) {
      this.model = model;
      this.arrays = book.unpack(model);
      this.places = model.grid[0] * model.grid[1];
      this.positions = gridPositions(model.grid[0]);
      this.hidden = this.arrays["decoder.gate.bias"].values.length;
    }

    values(name) {
      return this.arrays[name].values;
    }

    // A linear layer; some have no bias.
    linear(x, name) {
      const { values, shape } = this.arrays[`${name}.weight`];
      return matmul(x, values, shape[0], shape[1], this.arrays[`${name}.bias`]?.values);
    }

    layerNorm(x, name) {
      const scale = this.values(`${name}.weight`), shift = this.values(`${name}.bias`), n = scale.length;
      const normed = new Float32Array(x.length);
      for (let start = 0; start < x.length; start += n) {
        let mean = 0, variance = 0;
        for (let i = 0; i < n; i++) mean += x[start + i] / n;
        for (let i = 0; i < n; i++) variance += (x[start + i] - mean) ** 2 / n;
        const factor = 1 / Math.sqrt(variance + 1e-5);
        for (let i = 0; i < n; i++) normed[start + i] = (x[start + i] - mean) * factor * scale[i] + shift[i];
      }
      return normed;
    }

    // From bytes, row col channel, to the features of the places.
    encode(image) {
      const side = this.model.image_size;
      let size = side, x = new Float32Array(side * side * 5);
      for (let p = 0; p < side * side; p++) {
        for (let c = 0; c < 3; c++) x[5 * p + c] = image[3 * p + c] / 127.5 - 1;
        x[5 * p + 3] = -1 + (2 * Math.floor(p / side)) / (side - 1);
        x[5 * p + 4] = -1 + (2 * (p % side)) / (side - 1);
      }
      for (let layer = 0; `encoder.layers.${layer}.weight` in this.arrays; layer += 3) {
        const weight = this.arrays[`encoder.layers.${layer}.weight`], stride = weight.shape[2] === 4 ? 2 : 1;
        x = convolve(x, size, weight, this.values(`encoder.layers.${layer}.bias`), stride);
        size /= stride;
      }
      x = add(x, this.linear(this.positions, "encoder.position_proj"));
      for (let i = 0; `encoder.blocks.${i}.norms.0.weight` in this.arrays; i++) {
        x = this.block(x, `encoder.blocks.${i}`);
      }
      return x;
    }

    // Self-attention and a feed-forward network, each with pre-norm and a residual.
    block(x, name) {
      const normed = this.layerNorm(x, `${name}.norms.0`), own = `${name}.self_attention`;
      const [query, key, value] = ["query", "key", "value"].map((part) => this.linear(normed, `${own}.${part}_proj`));
      const places = this.places, channels = query.length / places, width = channels / this.model.heads;
      const merged = new Float32Array(query.length), weights = new Float32Array(places);
      for (let at = 0; at < channels; at += width) {
        for (let p = 0; p < places; p++) {
          for (let k = 0; k < places; k++) {
            let score = 0;
            for (let c = at; c < at + width; c++) score += query[p * channels + c] * key[k * channels + c];
            weights[k] = score / Math.sqrt(width);
          }
          softmax(weights);
          for (let k = 0; k < places; k++) {
            for (let c = at; c < at + width; c++) merged[p * channels + c] += weights[k] * value[k * channels + c];
          }
        }
      }
      x = add(this.linear(merged, `${own}.out_proj`), x);
      const inner = gelu(this.linear(this.layerNorm(x, `${name}.norms.1`), `${name}.feed_forward.0`));
      return add(this.linear(inner, `${name}.feed_forward.2`), x);
    }

    // The state before the first word: values and keys of the picture; hidden and cell state, history of a beam of 1.
    start(features) {
      const normed = this.layerNorm(features, "decoder.input_proj.0"), H = this.hidden, places = this.places;
      const learned = relu(this.linear(normed, "decoder.input_proj.1")), width = learned.length / places;
      const values = new Float32Array(places * H), mean = new Float32Array(H);
      for (let p = 0; p < places; p++) {
        values.set(learned.subarray(p * width, (p + 1) * width), p * H);
        for (let c = width; c < H; c++) {
          values[p * H + c] = this.model.position_scale * this.positions[p * 8 + c - width];
        }
        for (let c = 0; c < H; c++) mean[c] += values[p * H + c] / places;
      }
      const first = this.linear(mean, "decoder.init_state").map(Math.tanh);
      const keys = this.linear(values, "decoder.attention.key_proj");
      return { values, keys, hidden: first.slice(0, H), cell: first.slice(H), history: new Float32Array(2 * places) };
    }

    // The state in which hypothesis i continues hypothesis parents[i].
    reorder(state, parents) {
      const reordered = { ...state };
      for (const name of ["hidden", "cell", "history"]) {
        const width = name === "history" ? 2 * this.places : this.hidden;
        const rows = new Float32Array(parents.length * width);
        parents.forEach((parent, i) => rows.set(state[name].subarray(parent * width, (parent + 1) * width), i * width));
        reordered[name] = rows;
      }
      return reordered;
    }

    // Read one token per hypothesis: {scores, weights, state}, the log-probabilities of the next word (beam x words),
    // for each hypothesis its attention weights, and the next state. With `given`, attention brings the average of the
    // values under these weights (companion.metrics.redirection.redirect); its own weights stay what they are.
    step(tokens, state, given = null) {
      const H = this.hidden, beam = tokens.length, embed = this.values("decoder.embed.weight");
      const scale = this.values("decoder.embed_scale")[0], embedded = new Float32Array(beam * H);
      for (let i = 0; i < beam * H; i++) embedded[i] = embed[tokens[Math.floor(i / H)] * H + (i % H)] * scale;
      const query = add(this.linear(embedded, "decoder.word_to_query"), state.hidden);
      const { context, weights, history } = this.attend(query, state, given);
      const gate = this.linear(state.hidden, "decoder.gate"), input = new Float32Array(2 * beam * H);
      for (let i = 0; i < beam * H; i++) context[i] *= sigmoid(gate[i]);
      for (let b = 0; b < beam; b++) {
        input.set(embedded.subarray(b * H, (b + 1) * H), 2 * b * H);
        input.set(context.subarray(b * H, (b + 1) * H), (2 * b + 1) * H);
      }
      const { hidden, cell } = this.lstm(input, state);
      const output = add(this.linear(hidden, "decoder.from_hidden"), this.linear(context, "decoder.from_context"));
      add(output, embedded);
      const words = this.model.vocabulary.length;
      const scores = matmul(output.map(Math.tanh), embed, words, H, this.values("decoder.output_proj.bias"));
      for (let b = 0; b < beam; b++) {
        const logits = scores.subarray(b * words, (b + 1) * words), total = softmax(logits.slice());
        for (let i = 0; i < words; i++) logits[i] -= total;
      }
      return { scores, weights, state: { ...state, hidden, cell, history } };
    }

    // Coverage attention: score = v . tanh(W_q q + W_k k + W_c c).
    attend(query, { keys, values, history }, given) {
      const H = this.hidden, places = this.places, beam = query.length / H;
      const vector = this.values("decoder.attention.score_vector"), D = vector.length;
      const coverage = this.values("decoder.attention.coverage_proj.weight");
      const projected = this.linear(query, "decoder.attention.query_proj");
      const context = new Float32Array(beam * H), updated = new Float32Array(history.length), all = [];
      for (let b = 0; b < beam; b++) {
        const weights = new Float32Array(places);
        for (let p = 0; p < places; p++) {
          const latest = history[2 * (b * places + p)], total = history[2 * (b * places + p) + 1];
          let score = 0;
          for (let d = 0; d < D; d++) {
            const covered = coverage[2 * d] * latest + coverage[2 * d + 1] * total;
            score += vector[d] * Math.tanh(projected[b * D + d] + keys[p * D + d] + covered);
          }
          weights[p] = score;
        }
        softmax(weights);
        const used = given ?? weights;
        for (let p = 0; p < places; p++) {
          updated[2 * (b * places + p)] = weights[p];
          updated[2 * (b * places + p) + 1] = history[2 * (b * places + p) + 1] + weights[p];
          for (let c = 0; c < H; c++) context[b * H + c] += used[p] * values[p * H + c];
        }
        all.push(weights);
      }
      return { context, weights: all, history: updated };
    }

    lstm(input, state) {
      const H = this.hidden, gates = add(
        matmul(input, this.values("decoder.cell.weight_ih"), 4 * H, 2 * H, this.values("decoder.cell.bias_ih")),
        matmul(state.hidden, this.values("decoder.cell.weight_hh"), 4 * H, H, this.values("decoder.cell.bias_hh")),
      );
      const hidden = new Float32Array(state.hidden.length), cell = new Float32Array(hidden.length);
      for (let i = 0; i < hidden.length; i++) {
        const at = Math.floor(i / H) * 4 * H + (i % H);
        const admitted = sigmoid(gates[at]) * Math.tanh(gates[at + 2 * H]);
        cell[i] = sigmoid(gates[at + H]) * state.cell[i] + admitted;
        hidden[i] = sigmoid(gates[at + 3 * H]) * Math.tanh(cell[i]);
      }
      return { hidden, cell };
    }
  }

  Object.assign(book, { Captioner });
};
attentionBook.defineCaptioner(attentionBook);
