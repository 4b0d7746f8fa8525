// Products of large matrices, as long as there are tokens, with others as thin as a rank.
#pragma once

#include <algorithm>

#include "pairs.h"

#if MULTIPLIES_PAIRS

// The largest power of two below `count`.
constexpr int below(int count) {
  int found = 1;
  while (2 * found < count) found *= 2;
  return found;
}

// ---- thin (T, ranks) = scales * rows M, by pairs (width / 2, stride) of M.

struct Reduction {
  const bf16* rows;
  int64_t tokens;
  int64_t width;
  const pair* pairs;
  int64_t stride;
  const float* scales;
  bf16* thin;
  int64_t pitch;
  int64_t ranks;
};

template <int tokens, int blocks>
void reduce_tile(const Reduction& job, int64_t token, int64_t rank) {
  const int64_t width = job.width, stride = job.stride;
  const bf16* at = job.rows + token * width;
  const pair* pairs = job.pairs + rank;
  __m512 totals[tokens][blocks] = {};
  const auto add = [&](auto read) __attribute__((always_inline)) {
    __m512i factors[blocks];
#pragma GCC unroll 16
    for (int b = 0; b < blocks; ++b) factors[b] = _mm512_loadu_si512(pairs + b * lanes);
#pragma GCC unroll 16
    for (int t = 0; t < tokens; ++t) {
      const __m512i some = everywhere(read(at + t * width));
#pragma GCC unroll 16
      for (int b = 0; b < blocks; ++b) totals[t][b] = add_products(totals[t][b], some, factors[b]);
    }
  };
  for (int64_t i = 1; i < width; i += 2, at += 2, pairs += stride) add(pair_at);
  if (width % 2) add([](const bf16* last) { return pair{last->bits}; });
#pragma GCC unroll 16
  for (int b = 0; b < blocks; ++b) {
    const int64_t column = rank + b * lanes;
    const __m512 scales = _mm512_loadu_ps(job.scales + column);
    bf16* to = job.thin + token * job.pitch + column;
#pragma GCC unroll 16
    for (int t = 0; t < tokens; ++t)
      _mm256_mask_storeu_epi16(to + t * job.pitch, first(job.ranks - column),
                               (__m256i)_mm512_cvtneps_pbh(totals[t][b] * scales));
  }
}

template <int tokens, int blocks>
void reduce_some(const Reduction& job, int64_t token, int64_t end, int64_t rank) {
  for (; token + tokens <= end; token += tokens) reduce_tile<tokens, blocks>(job, token, rank);
  if constexpr (tokens > 1) reduce_some<below(tokens), blocks>(job, token, end, rank);
}

inline void reduce_share(const Reduction& job, int64_t token, int64_t end) {
  for (int64_t rank = 0; rank < job.ranks;) {
    const int64_t blocks = up_to(job.ranks - rank, lanes) / lanes;
    if (blocks == 1) {
      reduce_some<14, 1>(job, token, end, rank), rank += lanes;
    } else if (blocks == 2 || blocks == 4) {
      reduce_some<12, 2>(job, token, end, rank), rank += 2 * lanes;
    } else {
      reduce_some<8, 3>(job, token, end, rank), rank += 3 * lanes;
    }
  }
}

inline void reduce(const Reduction& job, int threads) {
  const int64_t share = up_to(job.tokens, threads) / threads;
  IN_PARALLEL
  for (int64_t token = 0; token < job.tokens; token += share)
    reduce_share(job, token, std::min(token + share, job.tokens));
}

// ---- wide (T, width) += thin (T, ranks) M, by pairs (ranks / 2, stride) of M, of which `mask` leaves
// some.

struct Expansion {
  bf16* wide;
  const uint16_t* mask;
  int64_t tokens;
  int64_t width;
  const bf16* thin;
  int64_t pitch;
  int64_t ranks;
  const pair* pairs;
  int64_t stride;
};

template <int tokens, int vectors, bool masked>
void expand_tile(const Expansion& job, int64_t token, int64_t column) {
  const int64_t at = token * job.width + column, left = job.width - column, stride = job.stride;
  bf16* wide = job.wide + at;
  const bf16* thin = job.thin + token * job.pitch;
  const pair* pairs = job.pairs + column;
  const auto before = [&](int t, int v) __attribute__((always_inline)) {
    const bf16* from = wide + t * job.width + v * lanes;
    return (__m512)(vectors > 1 ? load(from) : load(from, left));
  };
  __m512 totals[tokens][vectors];
#pragma GCC unroll 16
  for (int t = 0; t < tokens; ++t)
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) totals[t][v] = masked ? __m512{} : before(t, v);
  for (int64_t i = 0; i < job.ranks; i += 2, thin += 2, pairs += stride) {
    __m512i factors[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) factors[v] = _mm512_loadu_si512(pairs + v * lanes);
#pragma GCC unroll 16
    for (int t = 0; t < tokens; ++t) {
      const __m512i some = everywhere(pair_at(thin + t * job.pitch));
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) totals[t][v] = add_products(totals[t][v], some, factors[v]);
    }
  }
  if constexpr (masked)
    for (int t = 0; t < tokens; ++t)
      for (int v = 0; v < vectors; ++v) {
        const uint16_t* kept = job.mask + at + t * job.width + v * lanes;
        const __m256i bits = _mm256_maskz_loadu_epi16(first(left - v * lanes), kept);
        const __m512i change = _mm512_and_si512(_mm512_cvtepi16_epi32(bits), (__m512i)totals[t][v]);
        totals[t][v] = (__m512)change + before(t, v);
      }
#pragma GCC unroll 16
  for (int t = 0; t < tokens; ++t) {
    bf16* to = wide + t * job.width;
    if constexpr (vectors == 1) store(to, (floats)totals[t][0], left);
#pragma GCC unroll 16
    for (int v = 0; v + 1 < vectors; v += 2)
      _mm512_storeu_si512(to + v * lanes,
                          (__m512i)_mm512_cvtne2ps_pbh(totals[t][v + 1], totals[t][v]));
  }
}

template <int tokens, bool masked>
void expand_some(const Expansion& job, int64_t token, int64_t end) {
  for (; token + tokens <= end; token += tokens) {
    int64_t column = 0;
    for (; column + 4 * lanes <= job.width; column += 4 * lanes)
      expand_tile<tokens, 4, masked>(job, token, column);
    for (; column < job.width; column += lanes) expand_tile<tokens, 1, masked>(job, token, column);
  }
  if constexpr (tokens > 1) expand_some<below(tokens), masked>(job, token, end);
}

inline void expand(const Expansion& job, int threads) {
  const int64_t share = up_to(job.tokens, threads) / threads;
  IN_PARALLEL
  for (int64_t token = 0; token < job.tokens; token += share) {
    const int64_t end = std::min(token + share, job.tokens);
    job.mask ? expand_some<6, true>(job, token, end) : expand_some<6, false>(job, token, end);
  }
}

// ---- A sum of thin^T rows, (ranks, width) or (width, ranks), by pairs (tokens / 2, stride) of thin.

struct Outer {
  const pair* pairs;
  int64_t stride;
  const bf16* rows;
  const uint16_t* mask;
  int64_t tokens;
  int64_t width;
  int64_t ranks;
};

typedef float Tile[16][32];

template <int ranks, bool masked>
void outer_tile(const Outer& job, int64_t rank, int64_t column, float (*tile)[32]) {
  const __m512i left_halves = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9,
                                               40, 8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1,
                                               32, 0);
  const __m512i right_halves = _mm512_add_epi16(left_halves, _mm512_set1_epi16(16));
  const __mmask32 seen = first_of_32(job.width - column);
  const pair* pairs = job.pairs + rank;
  int64_t at = column;
  const auto row = [&](__mmask32 which) __attribute__((always_inline)) {
    const __m512i found = _mm512_maskz_loadu_epi16(which, job.rows + at);
    const __m512i kept = masked ? _mm512_maskz_loadu_epi16(which, job.mask + at) : found;
    at += job.width;
    return _mm512_and_si512(found, kept);
  };
  __m512 totals[ranks][2] = {};
  for (int64_t token = 0; token < job.tokens; token += 2, pairs += job.stride) {
    const __m512i here = row(seen), next = row(token + 1 < job.tokens ? seen : 0);
    const __m512i left = _mm512_permutex2var_epi16(here, left_halves, next);
    const __m512i right = _mm512_permutex2var_epi16(here, right_halves, next);
#pragma GCC unroll 16
    for (int r = 0; r < ranks; ++r) {
      const __m512i some = everywhere(pairs[r]);
      totals[r][0] = add_products(totals[r][0], some, left);
      totals[r][1] = add_products(totals[r][1], some, right);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ranks; ++r) {
    _mm512_storeu_ps(tile[r], totals[r][0]);
    _mm512_storeu_ps(tile[r] + lanes, totals[r][1]);
  }
}

template <int ranks, bool masked>
void outer_some(const Outer& job, int64_t rank, int64_t end, int64_t column, float (*tile)[32]) {
  for (; rank + ranks <= end; rank += ranks, tile += ranks)
    outer_tile<ranks, masked>(job, rank, column, tile);
  if constexpr (ranks > 1) outer_some<below(ranks), masked>(job, rank, end, column, tile);
}

inline void add(float* sum, __m512 values, int64_t count, bool begun) {
  const __mmask16 seen = first(count);
  const __m512 before = _mm512_maskz_loadu_ps(begun ? seen : 0, sum);
  _mm512_mask_storeu_ps(sum, seen, before + values);
}

// A sum (ranks, width).
struct Upright {
  float* at;
  bool begun;

  void await(const Outer& job, int64_t rank, int64_t column) const {
    for (int64_t r = rank; r < std::min(job.ranks, rank + lanes); ++r)
      for (int64_t c = column; c < std::min(job.width, column + 2 * lanes); c += lanes)
        prefetch(at + r * job.width + c);
  }

  void add_tile(const Outer& job, int64_t rank, int64_t column, const Tile& tile) const {
    for (int64_t r = rank; r < std::min(job.ranks, rank + lanes); ++r)
      for (int64_t c = column; c < std::min(job.width, column + 2 * lanes); c += lanes)
        add(at + r * job.width + c, _mm512_loadu_ps(tile[r - rank] + c - column), job.width - c, begun);
  }
};

// A sum (width, ranks).
struct Turned {
  float* at;
  bool begun;

  void await(const Outer& job, int64_t rank, int64_t column) const {
    for (int64_t c = column; c < std::min(job.width, column + 2 * lanes); ++c)
      prefetch(at + c * job.ranks + rank);
  }

  void add_tile(const Outer& job, int64_t rank, int64_t column, const Tile& tile) const {
    for (int64_t c = column; c < std::min(job.width, column + 2 * lanes); c += lanes) {
      __m512i rows[16];
      for (int64_t r = 0; r < lanes; ++r) rows[r] = _mm512_loadu_si512(tile[r] + c - column);
      transpose(rows);
      for (int64_t i = 0; i < std::min(job.width - c, lanes); ++i)
        add(at + (c + i) * job.ranks + rank, (__m512)rows[i], job.ranks - rank, begun);
    }
  }
};

// The sum's memory, too large to stay in the cache from one call to the next, is asked for before it is
// needed.
template <class Sum>
void outer(const Sum& sum, const Outer& job, int threads) {
  IN_PARALLEL
  for (int64_t column = 0; column < job.width; column += 2 * lanes) {
    Tile tile = {};
    for (int64_t rank = 0; rank < job.ranks; rank += lanes) {
      const int64_t end = std::min(job.ranks, rank + lanes);
      sum.await(job, rank, column);
      job.mask ? outer_some<8, true>(job, rank, end, column, tile)
               : outer_some<8, false>(job, rank, end, column, tile);
      sum.add_tile(job, rank, column, tile);
    }
  }
}

#endif
