#include <cmath>
#include <limits>

#include "attention.h"

// Whether there are kernels for attention: where the processor multiplies pairs of bf16.
EXPORTED int has_attention() {
#ifdef __AVX512BF16__
  return 1;
#else
  return 0;
#endif
}

#ifdef __AVX512BF16__

namespace {

// Keys that a tile of queries meets at once.
constexpr int64_t block = 256;

struct Buffers {
  uint32_t *keys, *values;
  bf16* queries;
  float *scores, *sums, *highest, *totals;
  bf16* weights;

  Buffers(Scratch scratch, const Attention& of, int64_t longest) {
    const int64_t queries_ = of.tile_queries() + 1;
    keys = scratch.take<uint32_t>(rounded_up(longest, panel) * of.width / 2);
    values = scratch.take<uint32_t>(rounded_up(longest, lanes) * of.width / 2);
    queries = scratch.take<bf16>(queries_ * of.width);
    sums = scratch.take<float>(queries_ * of.width);
    highest = scratch.take<float>(queries_);
    totals = scratch.take<float>(queries_);
    scores = scratch.take<float>(tile_rows * block);
    weights = scratch.take<bf16>(tile_rows * block);
  }
};

// Makes a query's sums so far those of exponentials of less by `lead`; the total of these.
float rescale(const Attention& of, const Buffers& have, int64_t query, float lead) {
  const float factor = power_of_two(all(lead))[0];
  float* const sums = have.sums + query * of.width;
  for (int64_t i = 0; i < of.width; i += lanes) store(sums + i, load(sums + i) * factor);
  return have.totals[query] * factor;
}

// The exponentials of one query's scores for `count` keys from `key` on, and what becomes of its sums.
void weigh(const Attention& of, const Buffers& have, int64_t row, int64_t query, int64_t token,
           int64_t key, int64_t count, bool is_first) {
  const float* const scores = have.scores + row * block;
  bf16* const weights = have.weights + row * block;
  const float factor = of.scale * 1.44269504f, before = have.highest[query];
  floats most = all(before), sum = {};
  for_keys(of, token, key, count, [&](int64_t i, __mmask16 mask) {
    most = larger(most, where(mask, load(scores + i) * factor, unseen));
  });
  const float highest = _mm512_reduce_max_ps((__m512)most);
  for_keys(of, token, key, count, [&](int64_t i, __mmask16 mask) {
    const floats weight = where(mask, power_of_two(load(scores + i) * factor - highest), 0);
    sum += weight;
    store(weights + i, weight);
  });
  have.highest[query] = highest;
  have.totals[query] = total(sum) + (is_first ? 0 : rescale(of, have, query, before - highest));
}

void attend_tile(const Attention& of, const Buffers& have, const Tile& tile) {
  const int64_t last = tile.token + tile.tokens, half = of.width / 2;
  const int64_t first = of.first_seen(tile.token) / panel * panel;
  for (int64_t query = 0; query < tile.queries; ++query)
    have.highest[query] = std::numeric_limits<float>::lowest();
  for (int64_t key = first; key < last; key += block) {
    for (int64_t query = 0; query < tile.queries; query += tile_rows) {
      const int64_t rows = tile.queries - query < tile_rows ? tile.queries - query : tile_rows;
      const int64_t until = tile.token + (query + rows - 1) / of.together() + 1;
      int64_t count = rounded_up(until - key, lanes);
      if (count > block) count = block;
      if (count <= 0) continue;
      const Left left{pairs_of(have.queries + query * of.width), half, 1};
      for (int64_t i = 0; i < count; i += panel) {
        const int64_t vectors = count - i < panel ? (count - i) / lanes : tile_vectors;
        multiply(rows, vectors, left, {have.keys + (key + i) * half, panel}, {have.scores + i, block}, half, false);
      }
      for (int64_t row = 0; row < rows; ++row)
        weigh(of, have, row, query + row, tile.token + (query + row) / of.together(), key, count, key == first);
      multiply(rows, of.width / lanes, {pairs_of(have.weights), block / 2, 1},
               {have.values + key / 2 * of.width, of.width}, {have.sums + query * of.width, of.width}, count / 2, key != first);
    }
  }
}

void write(bf16* out, float* logarithms, const Attention& of, const Buffers& have, const Tile& tile) {
  for (int64_t query = 0; query < tile.queries; ++query) {
    const int64_t token = query / of.together(), head = query % of.together();
    const float share = 1 / have.totals[query];
    const float* const sums = have.sums + query * of.width;
    bf16* const to = out + (token * of.heads + head) * of.width;
    for (int64_t i = 0; i < of.width; i += lanes) store(to + i, load(sums + i) * share);
    logarithms[token * of.heads + head] = have.highest[query] + std::log2(have.totals[query]);
  }
}

}  // namespace

EXPORTED void attend_bf16(bf16* out, float* logarithms, const bf16* queries, const bf16* keys, const bf16* values,
                          const int32_t* borders, void* scratch, int64_t rows, int64_t longest,
                          int64_t heads, int64_t shared, int64_t width, int64_t window, float scale, int threads) {
  const Attention of{heads, shared, width, window, scale};
  (void)threads;
  for (int64_t part = 0; part < rows * shared; ++part) {
    const int64_t row = part / shared, head = part % shared;
    const int64_t first = borders[row], length = borders[row + 1] - first;
    const Buffers have({static_cast<char*>(scratch)}, of, longest);
    const int64_t at = (first * shared + head) * width;
    transpose(have.keys, keys + at, shared * width, length, width);
    pair_rows(have.values, values + at, shared * width, length, rounded_up(length, lanes), width);
    for (int64_t token = 0; token < length; token += of.tile_tokens()) {
      const Tile tile(of, token, length);
      const int64_t query = (first + token) * heads + head * of.together();
      gather(have.queries, queries + query * width, of, tile);
      attend_tile(of, have, tile);
      write(out + query * width, logarithms + query, of, have, tile);
    }
  }
}

#endif
