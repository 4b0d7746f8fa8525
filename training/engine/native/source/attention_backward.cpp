// The way back of attention.

#include "attention.h"

#if MULTIPLIES_PAIRS

namespace {

constexpr int64_t block = 256;  // keys that a tile of queries meets at once

struct Buffers {
  pair *keys, *values, *key_pairs;         // of a row
  float *by_keys, *by_values;              // the sums over its queries
  bf16 *queries, *gradient;                // of a tile
  pair *query_pairs, *gradient_pairs;      // two queries in a pair
  float *by_queries, *logarithms, *along;  // of its queries
  float *scores, *by_weights;              // of a few of them with a block's keys
  bf16* by_scores;                         // of all of them
  pair *weight_pairs, *by_score_pairs;     // likewise, two queries in a pair

  Buffers(const Attention& of, int64_t longest, Scratch& scratch) {
    const int64_t row = up_to(longest, panel) * of.width, most = up_to(of.tile_queries() + 1, 2);
    keys = scratch.take<pair>(row / 2);
    values = scratch.take<pair>(row / 2);
    key_pairs = scratch.take<pair>(row / 2);
    by_keys = scratch.take<float>(row);
    by_values = scratch.take<float>(row);
    queries = scratch.take<bf16>(most * of.width);
    gradient = scratch.take<bf16>(most * of.width);
    query_pairs = scratch.take<pair>(most * of.width / 2);
    gradient_pairs = scratch.take<pair>(most * of.width / 2);
    by_queries = scratch.take<float>(most * of.width);
    logarithms = scratch.take<float>(most);
    along = scratch.take<float>(most);
    scores = scratch.take<float>(tile_rows * block);
    by_weights = scratch.take<float>(tile_rows * block);
    by_scores = scratch.take<bf16>(most * block);
    weight_pairs = scratch.take<pair>(most * block / 2);
    by_score_pairs = scratch.take<pair>(most * block / 2);
  }
};

// A tile's queries and what is needed of each. Where they are an odd number, one of zeros follows.
void prepare(const Attention& of, const Buffers& have, const Tile& tile, const bf16* queries,
             const bf16* gradient, const bf16* output, const float* logarithms) {
  gather(have.queries, queries, of, tile);
  gather(have.gradient, gradient, of, tile);
  pair_along_columns(have.query_pairs, of.width, have.queries, tile.queries, of.width, of.width);
  pair_along_columns(have.gradient_pairs, of.width, have.gradient, tile.queries, of.width,
                     of.width);
  for (int64_t query = 0; query < tile.queries; ++query) {
    const bf16* const by = have.gradient + query * of.width;
    const bf16* const out = output + tile.place(of, query) * of.width;
    floats sum = {};
    for (int64_t i = 0; i < of.width; i += lanes) sum += load(by + i) * load(out + i);
    have.along[query] = total(sum);
    have.logarithms[query] = logarithms[tile.place(of, query)];
  }
  have.along[tile.queries] = have.logarithms[tile.queries] = 0;
}

// Sixteen numbers, and sixteen others behind them.
inline __m512i narrow(floats some, floats others) {
  return (__m512i)_mm512_cvtne2ps_pbh((__m512)others, (__m512)some);
}

// Pairs of one of the former and one of the latter.
inline __m512i paired(__m512i both) {
  alignas(64) static constexpr uint16_t places[] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                    21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                    11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(places), both);
}

// The weights of a pair of queries for `count` keys from `key` on, and the gradients of their
// scores once these were scaled.
void weigh(const Attention& of, const Buffers& have, const Tile& tile, int64_t row, int64_t query,
           int64_t key, int64_t count) {
  const float *scores = have.scores + row * block, *by_weights = have.by_weights + row * block;
  const float *logarithms = have.logarithms + query, *along = have.along + query;
  bf16* const by_scores = have.by_scores + query * block;
  pair* const weight_pairs = have.weight_pairs + query / 2 * block;
  pair* const by_score_pairs = have.by_score_pairs + query / 2 * block;
  const int64_t token = tile.token_of(of, query), next = tile.token_of(of, query + 1);
  const int64_t next_first = of.first_seen(next);
  const float factor = of.factor();
  for_keys(of, token, key, count, [&](int64_t i, __mmask16 mask) {
    const bool sees_all = mask == all_seen && key + i >= next_first;
    const __mmask16 next_mask = sees_all ? all_seen : seen(of, next, key + i);
    const floats score = load(scores + i) * factor, next_score = load(scores + block + i) * factor;
    const floats one = where(mask, power_of_two(score - logarithms[0]), 0);
    const floats two = where(next_mask, power_of_two(next_score - logarithms[1]), 0);
    const floats by_one = one * (load(by_weights + i) - along[0]);
    const floats by_two = two * (load(by_weights + block + i) - along[1]);
    const __m512i by_both = narrow(by_one, by_two);
    _mm256_storeu_si256((__m256i*)(by_scores + i), _mm512_castsi512_si256(by_both));
    _mm256_storeu_si256((__m256i*)(by_scores + block + i), _mm512_extracti64x4_epi64(by_both, 1));
    _mm512_storeu_si512(by_score_pairs + i, paired(by_both));
    _mm512_storeu_si512(weight_pairs + i, paired(narrow(one, two)));
  });
}

// What a tile's queries add to their own gradients by `keys` keys from `key` on. Weights and
// gradients of scores are left for those of keys and values: zeros where no query sees a key.
void return_to_queries(const Attention& of, const Buffers& have, const Tile& tile, int64_t key,
                       int64_t keys, bool is_first) {
  const int64_t width = of.width, half = width / 2, even = up_to(tile.queries, 2);
  const Right right{have.keys + key * half, panel}, by_right{have.values + key * half, panel};
  const Right pairs{have.key_pairs + key * half, width};
  for (int64_t query = 0; query < even; query += tile_rows) {
    const int64_t rows = least(tile_rows, even - query);
    const int64_t until = tile.token_of(of, query + rows - 1) + 1;
    const int64_t count = until <= key ? 0 : up_to(least(keys, until - key), lanes);
    const Left left{pairs_of(have.queries) + query * half, half, 1};
    const Left by_left{pairs_of(have.gradient) + query * half, half, 1};
    const Left by_scores{pairs_of(have.by_scores) + query * block / 2, block / 2, 1};
    multiply(rows, count, left, right, half * panel, {have.scores, block}, half, false);
    multiply(rows, count, by_left, by_right, half * panel, {have.by_weights, block}, half, false);
    for (int64_t row = 0; row < rows; row += 2) {
      const int64_t at = (query + row) / 2 * block;
      weigh(of, have, tile, row, query + row, key, count);
      for (int64_t i = count; i < keys; i += lanes) {
        _mm512_storeu_si512(have.weight_pairs + at + i, __m512i{});
        _mm512_storeu_si512(have.by_score_pairs + at + i, __m512i{});
      }
    }
    multiply(rows, width, by_scores, pairs, panel, {have.by_queries + query * width, width},
             count / 2, !is_first);
  }
}

// What they add to those of the keys and values.
void return_to_keys(const Attention& of, const Buffers& have, const Tile& tile, int64_t key,
                    int64_t keys) {
  const int64_t width = of.width, end = up_to(tile.queries, 2) / 2;
  for (int64_t i = 0; i < keys; i += tile_rows) {
    const int64_t rows = least(tile_rows, keys - i), to = (key + i) * width;
    // The queries of tokens before a key do not see it.
    const int64_t start = key + i > tile.token ? (key + i - tile.token) * of.together() / 2 : 0;
    const Left weights{have.weight_pairs + start * block + i, 1, block};
    const Left by_scores{have.by_score_pairs + start * block + i, 1, block};
    const Right gradient{have.gradient_pairs + start * width, width};
    const Right queries{have.query_pairs + start * width, width};
    multiply(rows, width, weights, gradient, panel, {have.by_values + to, width}, end - start,
             true);
    multiply(rows, width, by_scores, queries, panel, {have.by_keys + to, width}, end - start, true);
  }
}

}  // namespace

EXPORTED int64_t attend_backward_scratch(int64_t longest, int64_t heads, int64_t shared,
                                         int64_t width) {
  Scratch scratch{0};
  Buffers({heads, shared, width, longest, 1}, longest, scratch);
  return scratch.at;
}

// `scratch` has what `attend_backward_scratch` tells for each thread.
EXPORTED void attend_backward(bf16* by_queries, bf16* by_keys, bf16* by_values,
                              const bf16* gradient, const bf16* queries, const bf16* keys,
                              const bf16* values, const bf16* output, const float* logarithms,
                              const int32_t* borders, char* scratch, int64_t rows, int64_t longest,
                              int64_t heads, int64_t shared, int64_t width, int64_t window,
                              float scale, int threads) {
  const Attention of{heads, shared, width, window, scale};
  const int64_t own = attend_backward_scratch(longest, heads, shared, width);
#pragma omp parallel for if (threads > 1) num_threads(threads) schedule(dynamic)
  for (int64_t part = 0; part < rows * shared; ++part) {
    Scratch mine{reinterpret_cast<uintptr_t>(scratch + own * omp_get_thread_num())};
    const Buffers have(of, longest, mine);
    const Row row(of, borders, part);
    const int64_t at = row.keys(of) * width, pitch = shared * width;
    fill_panels(have.keys, keys + at, pitch, row.length, width);
    fill_panels(have.values, values + at, pitch, row.length, width);
    fill_pairs(have.key_pairs, keys + at, pitch, row.length, up_to(row.length, lanes), width);
    std::memset(have.by_keys, 0, row.length * width * sizeof(float));
    std::memset(have.by_values, 0, row.length * width * sizeof(float));
    for (int64_t token = 0; token < row.length; token += of.tile_tokens()) {
      const Tile tile(of, token, row.length);
      const int64_t query = row.queries(of, token), start = of.first_seen(token) / panel * panel;
      prepare(of, have, tile, queries + query * width, gradient + query * width,
              output + query * width, logarithms + query);
      for (int64_t key = start; key < tile.end(); key += block) {
        const int64_t some = least(block, tile.end() - key);
        return_to_queries(of, have, tile, key, some, key == start);
        return_to_keys(of, have, tile, key, some);
      }
      for (int64_t i = 0; i < tile.queries; ++i)
        write(by_queries + (query + tile.place(of, i)) * width, have.by_queries + i * width, scale,
              width);
    }
    for (int64_t token = 0; token < row.length; ++token) {
      write(by_keys + at + token * pitch, have.by_keys + token * width, scale, width);
      write(by_values + at + token * pitch, have.by_values + token * width, 1, width);
    }
  }
}

#endif
