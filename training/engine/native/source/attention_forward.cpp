// The way forward of attention.

#include <cmath>
#include <limits>

#include "attention.h"

#if MULTIPLIES_PAIRS

namespace {

constexpr int64_t block = 256;  // keys that a tile of queries meets at once
constexpr float unseen = -__builtin_inff();

struct Buffers {
  pair *keys, *values;             // of a row
  bf16* queries;                   // of a tile
  float *sums, *highest, *totals;  // of its queries
  float* scores;                   // of a few of them with a block's keys
  bf16* weights;

  Buffers(const Attention& of, int64_t longest, Scratch& scratch) {
    const int64_t most = of.tile_queries() + 1;
    keys = scratch.take<pair>(up_to(longest, panel) * of.width / 2);
    values = scratch.take<pair>(up_to(longest, lanes) * of.width / 2);
    queries = scratch.take<bf16>(most * of.width);
    sums = scratch.take<float>(most * of.width);
    highest = scratch.take<float>(most);
    totals = scratch.take<float>(most);
    scores = scratch.take<float>(tile_rows * block);
    weights = scratch.take<bf16>(tile_rows * block);
  }
};

// Makes a query's sums so far those of exponentials less by `lead`; the total of these.
float rescale(const Attention& of, const Buffers& have, int64_t query, float lead) {
  const float factor = power_of_two(all(lead))[0];
  float* const sums = have.sums + query * of.width;
  for (int64_t i = 0; i < of.width; i += lanes) store(sums + i, load(sums + i) * factor);
  return have.totals[query] * factor;
}

// The highest of a query's scores so far, times the factor: those for `count` keys from `key` on
// are new.
float highest(const Attention& of, const Buffers& have, int64_t row, float before, int64_t token,
              int64_t key, int64_t count) {
  const float* const scores = have.scores + row * block;
  const float factor = of.factor();
  floats most = all(before);
  for_keys(of, token, key, count, [&](int64_t i, __mmask16 mask) {
    most = larger(most, where(mask, load(scores + i) * factor, unseen));
  });
  return _mm512_reduce_max_ps((__m512)most);
}

// The exponentials of a query's scores less by `highest`, and what they add up to.
float weights(const Attention& of, const Buffers& have, int64_t row, float highest, int64_t token,
              int64_t key, int64_t count) {
  const float* const scores = have.scores + row * block;
  bf16* const found = have.weights + row * block;
  const float factor = of.factor();
  floats sum = {};
  for_keys(of, token, key, count, [&](int64_t i, __mmask16 mask) {
    const floats weight = where(mask, power_of_two(load(scores + i) * factor - highest), 0);
    sum += weight;
    store(found + i, weight);
  });
  return total(sum);
}

// Turns scores of a few queries with `count` keys from `key` on into weights.
void weigh(const Attention& of, const Buffers& have, const Tile& tile, int64_t query, int64_t rows,
           int64_t key, int64_t count, bool is_first) {
  float before[tile_rows];
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = query + row;
    before[row] = have.highest[at];
    have.highest[at] = highest(of, have, row, before[row], tile.token_of(of, at), key, count);
  }
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = query + row;
    const float kept = is_first ? 0 : rescale(of, have, at, before[row] - have.highest[at]);
    have.totals[at] =
        kept + weights(of, have, row, have.highest[at], tile.token_of(of, at), key, count);
  }
}

// The sums of values that a tile's queries weigh, and of their weights.
void attend(const Attention& of, const Buffers& have, const Tile& tile) {
  const int64_t width = of.width, half = width / 2;
  const int64_t start = of.first_seen(tile.token) / panel * panel;
  for (int64_t i = 0; i < tile.queries; ++i) have.highest[i] = std::numeric_limits<float>::lowest();
  for (int64_t key = start; key < tile.end(); key += block)
    for (int64_t query = 0; query < tile.queries; query += tile_rows) {
      const int64_t rows = least(tile_rows, tile.queries - query);
      const int64_t until = tile.token_of(of, query + rows - 1) + 1;
      if (until <= key) continue;
      const int64_t count = least(block, up_to(until - key, lanes));
      const Left left{pairs_of(have.queries) + query * half, half, 1};
      const Left weights{pairs_of(have.weights), block / 2, 1};
      const Right keys{have.keys + key * half, panel}, values{have.values + key * half, width};
      multiply(rows, count, left, keys, half * panel, {have.scores, block}, half, false);
      weigh(of, have, tile, query, rows, key, count, key == start);
      multiply(rows, width, weights, values, panel, {have.sums + query * width, width}, count / 2,
               key > start);
    }
}

}  // namespace

EXPORTED int64_t attend_scratch(int64_t longest, int64_t heads, int64_t shared, int64_t width) {
  Scratch scratch{0};
  Buffers({heads, shared, width, longest, 1}, longest, scratch);
  return scratch.at;
}

// `scratch` has what `attend_scratch` tells for each thread.
EXPORTED void attend(bf16* out, float* logarithms, const bf16* queries, const bf16* keys,
                     const bf16* values, const int32_t* borders, char* scratch, int64_t rows,
                     int64_t longest, int64_t heads, int64_t shared, int64_t width, int64_t window,
                     float scale, int threads) {
  const Attention of{heads, shared, width, window, scale};
  const int64_t own = attend_scratch(longest, heads, shared, width);
#pragma omp parallel for if (threads > 1) num_threads(threads) schedule(dynamic)
  for (int64_t part = 0; part < rows * shared; ++part) {
    Scratch mine{reinterpret_cast<uintptr_t>(scratch + own * omp_get_thread_num())};
    const Buffers have(of, longest, mine);
    const Row row(of, borders, part);
    const int64_t at = row.keys(of) * width, pitch = shared * width;
    fill_panels(have.keys, keys + at, pitch, row.length, width);
    fill_pairs(have.values, values + at, pitch, row.length, up_to(row.length, lanes), width);
    for (int64_t token = 0; token < row.length; token += of.tile_tokens()) {
      const Tile tile(of, token, row.length);
      const int64_t query = row.queries(of, token);
      gather(have.queries, queries + query * width, of, tile);
      attend(of, have, tile);
      for (int64_t i = 0; i < tile.queries; ++i) {
        const int64_t place = query + tile.place(of, i);
        write(out + place * width, have.sums + i * width, 1 / have.totals[i], width);
        logarithms[place] = have.highest[i] + std::log2(have.totals[i]);
      }
    }
  }
}

#endif
