#include "attention.h"

#ifdef __AVX512BF16__

namespace {

// Keys that a tile of queries meets at once.
constexpr int64_t block = 128;

struct Buffers {
  uint32_t *keys, *values, *key_pairs;        // of a row
  float *by_keys, *by_values;                 // likewise, summed over its queries
  bf16 *queries, *gradient;                   // of a tile
  uint32_t *query_pairs, *gradient_pairs;     // likewise
  float *by_queries, *logarithms, *products;  // likewise
  float *scores, *by_weights;                 // of the queries of a product's rows
  bf16* by_scores;                            // of a tile's queries and a block's keys, as rows
  uint32_t *weight_pairs, *by_score_pairs;    // likewise, two queries in a word

  Buffers(Scratch scratch, const Attention& of, int64_t longest) {
    const int64_t row = rounded_up(longest, panel) * of.width, queries_ = of.tile_queries() + 1;
    const int64_t tile = queries_ * of.width, met = queries_ * block;
    keys = scratch.take<uint32_t>(row / 2);
    values = scratch.take<uint32_t>(row / 2);
    key_pairs = scratch.take<uint32_t>(row / 2);
    by_keys = scratch.take<float>(row);
    by_values = scratch.take<float>(row);
    queries = scratch.take<bf16>(tile);
    gradient = scratch.take<bf16>(tile);
    query_pairs = scratch.take<uint32_t>(tile / 2 + of.width);
    gradient_pairs = scratch.take<uint32_t>(tile / 2 + of.width);
    by_queries = scratch.take<float>(tile);
    logarithms = scratch.take<float>(queries_);
    products = scratch.take<float>(queries_);
    scores = scratch.take<float>(tile_rows * block);
    by_weights = scratch.take<float>(tile_rows * block);
    by_scores = scratch.take<bf16>(met);
    weight_pairs = scratch.take<uint32_t>(met / 2 + block);
    by_score_pairs = scratch.take<uint32_t>(met / 2 + block);
  }
};

// A tile's queries, and what is needed of each; those behind the last are zeros.
void prepare(const Attention& of, const Buffers& have, const Tile& tile, const bf16* queries,
             const bf16* gradient, const bf16* output, const float* logarithms) {
  gather(have.queries, queries, of, tile);
  gather(have.gradient, gradient, of, tile);
  const int64_t even = rounded_up(tile.queries, 2);
  pair_rows(have.query_pairs, have.queries, of.width, even, even, of.width);
  pair_rows(have.gradient_pairs, have.gradient, of.width, even, even, of.width);
  for (int64_t query = 0; query < tile.queries; ++query) {
    const int64_t at = query / of.together() * of.heads + query % of.together();
    floats sum = {};
    for (int64_t i = 0; i < of.width; i += lanes)
      sum += load(have.gradient + query * of.width + i) * load(output + at * of.width + i);
    have.products[query] = total(sum);
    have.logarithms[query] = logarithms[at];
  }
  have.products[tile.queries] = have.logarithms[tile.queries] = 0;
  std::memset(have.by_queries, 0, even * of.width * sizeof *have.by_queries);
}

inline words pair(floats one, floats other) {
  bf16 both[2 * lanes];
  store(both, one);
  store(both + lanes, other);
  return words_of(both) | words_of(both + lanes) << 16;
}

// The weights of two queries for `count` keys from `key` on, and the gradients of their scores.
void weigh(const Attention& of, const Buffers& have, int64_t row, int64_t query, int64_t token,
           int64_t next, int64_t key, int64_t count) {
  const float* const scores = have.scores + row * block;
  const float* const by_weights = have.by_weights + row * block;
  bf16* const by_scores = have.by_scores + query * block;
  const float factor = of.scale * 1.44269504f;
  const float first = have.logarithms[query], second = have.logarithms[query + 1];
  const int64_t next_first = of.first_seen(next);
  const float along = have.products[query], along_second = have.products[query + 1];
  for_keys(of, token, key, count, [&](int64_t i, __mmask16 mask) {
    const bool sees_all = mask == all_seen && key + i >= next_first;
    const __mmask16 next_mask = sees_all ? all_seen : seen(of, next, key + i);
    const floats one = where(mask, power_of_two(load(scores + i) * factor - first), 0);
    const floats two = where(next_mask, power_of_two(load(scores + block + i) * factor - second), 0);
    const floats by_one = one * (load(by_weights + i) - along);
    const floats by_two = two * (load(by_weights + block + i) - along_second);
    store(by_scores + i, by_one);
    store(by_scores + block + i, by_two);
    store(have.weight_pairs + query / 2 * block + i, pair(one, two));
    store(have.by_score_pairs + query / 2 * block + i, pair(by_one, by_two));
  });
}

void return_tile(const Attention& of, const Buffers& have, const Tile& tile) {
  const int64_t last = tile.token + tile.tokens, half = of.width / 2, even = rounded_up(tile.queries, 2);
  const int64_t vectors = of.width / lanes;
  for (int64_t key = of.first_seen(tile.token) / panel * panel; key < last; key += block) {
    const int64_t keys = last - key < block ? last - key : block;
    for (int64_t query = 0; query < even; query += tile_rows) {
      const int64_t rows = even - query < tile_rows ? even - query : tile_rows;
      const int64_t until = tile.token + (query + rows - 1) / of.together() + 1;
      int64_t count = rounded_up(until - key, lanes);
      if (count > block) count = block;
      if (count < 0) count = 0;
      const Left left{pairs_of(have.queries + query * of.width), half, 1};
      const Left by_left{pairs_of(have.gradient + query * of.width), half, 1};
      for (int64_t i = 0; i < count; i += panel) {
        const int64_t some = count - i < panel ? (count - i) / lanes : tile_vectors;
        multiply(rows, some, left, {have.keys + (key + i) * half, panel}, {have.scores + i, block}, half, false);
        multiply(rows, some, by_left, {have.values + (key + i) * half, panel}, {have.by_weights + i, block}, half,
                 false);
      }
      for (int64_t row = 0; row < rows; row += 2) {
        const int64_t at = query + row;
        weigh(of, have, row, at, tile.token + at / of.together(), tile.token + (at + 1) / of.together(), key, count);
        if (count < keys) {
          const int64_t left_out = (rounded_up(keys, lanes) - count) * sizeof(uint32_t);
          std::memset(have.weight_pairs + at / 2 * block + count, 0, left_out);
          std::memset(have.by_score_pairs + at / 2 * block + count, 0, left_out);
        }
      }
      multiply(rows, vectors, {pairs_of(have.by_scores + query * block), block / 2, 1},
               {have.key_pairs + key / 2 * of.width, of.width}, {have.by_queries + query * of.width, of.width},
               count / 2, true);
    }
    for (int64_t i = 0; i < keys; i += tile_rows) {
      const int64_t rows = keys - i < tile_rows ? keys - i : tile_rows;
      const int64_t first = key + i > tile.token ? (key + i - tile.token) * of.together() / 2 : 0;
      const int64_t sum = (key + i) * of.width;
      multiply(rows, vectors, {have.weight_pairs + first * block + i, 1, block},
               {have.gradient_pairs + first * of.width, of.width}, {have.by_values + sum, of.width}, even / 2 - first,
               true);
      multiply(rows, vectors, {have.by_score_pairs + first * block + i, 1, block},
               {have.query_pairs + first * of.width, of.width}, {have.by_keys + sum, of.width}, even / 2 - first,
               true);
    }
  }
}

void write(bf16* to, const float* sums, float factor, int64_t width) {
  for (int64_t i = 0; i < width; i += lanes) store(to + i, load(sums + i) * factor);
}

}  // namespace

EXPORTED void attend_backward_bf16(bf16* by_queries, bf16* by_keys, bf16* by_values, const bf16* queries,
                                   const bf16* keys, const bf16* values, const bf16* gradient, const bf16* output,
                                   const float* logarithms, const int32_t* borders, void* scratch, int64_t rows,
                                   int64_t longest, int64_t heads, int64_t shared, int64_t width, int64_t window,
                                   float scale, int threads) {
  const Attention of{heads, shared, width, window, scale};
  (void)threads;
  for (int64_t part = 0; part < rows * shared; ++part) {
    const int64_t row = part / shared, head = part % shared;
    const int64_t first = borders[row], length = borders[row + 1] - first;
    const Buffers have({static_cast<char*>(scratch)}, of, longest);
    const int64_t at = (first * shared + head) * width, stride = shared * width;
    transpose(have.keys, keys + at, stride, length, width);
    transpose(have.values, values + at, stride, length, width);
    pair_rows(have.key_pairs, keys + at, stride, length, rounded_up(length, lanes), width);
    std::memset(have.by_keys, 0, length * width * sizeof(float));
    std::memset(have.by_values, 0, length * width * sizeof(float));
    for (int64_t token = 0; token < length; token += of.tile_tokens()) {
      const Tile tile(of, token, length);
      const int64_t query = (first + token) * heads + head * of.together();
      prepare(of, have, tile, queries + query * width, gradient + query * width, output + query * width,
              logarithms + query);
      return_tile(of, have, tile);
      for (int64_t i = 0; i < tile.queries; ++i) {
        const int64_t to = query + i / of.together() * heads + i % of.together();
        write(by_queries + to * width, have.by_queries + i * width, scale, width);
      }
    }
    for (int64_t token = 0; token < length; ++token) {
      write(by_keys + at + token * stride, have.by_keys + token * width, scale, width);
      write(by_values + at + token * stride, have.by_values + token * width, 1, width);
    }
  }
}

#endif
