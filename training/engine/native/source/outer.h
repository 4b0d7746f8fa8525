// What thin^T rows adds to a sum in fp32, thin (tokens, ranks) being as thin as adapters' ranks and
// rows (tokens, width).
#pragma once

#include <algorithm>

#include "pairs.h"

#if MULTIPLIES_PAIRS

struct Outer {
  const pair* pairs;  // of thin, along its columns, in whole vectors
  int64_t stride;
  const bf16* rows;
  const uint16_t* mask;  // all bits or none of each element of the rows; null: all
  int64_t tokens;
  int64_t width;
  int64_t ranks;
};

typedef float Tile[16][32];

// Of two rows of 32 elements, which make the pairs of the first sixteen columns: 0, 32, 1, 33, …
inline __m512i first_pairs() {
  uint16_t found[32];
  for (int i = 0; i < 32; ++i) found[i] = i / 2 + i % 2 * 32;
  return _mm512_loadu_si512(found);
}

// Rows are read at a distance that a processor does not foresee: meanwhile those of the next columns
// are asked for, every other one by each of the two tiles that sixteen ranks take.
template <int ranks, bool masked>
void outer_tile(const Outer& job, int64_t rank, int64_t column, float (*tile)[32]) {
  const __m512i left_pairs = first_pairs();
  const __m512i right_pairs = _mm512_add_epi16(left_pairs, _mm512_set1_epi16(16));
  const __mmask32 seen = first_of_32(job.width - column);
  const pair* pairs = job.pairs + rank;
  const bf16* ahead = job.rows + column + 2 * lanes + (rank / 8 % 2) * job.width;
  int64_t at = column;
  const auto row = [&](__mmask32 which) __attribute__((always_inline)) {
    const __m512i found = _mm512_maskz_loadu_epi16(which, job.rows + at);
    const __m512i kept = masked ? _mm512_maskz_loadu_epi16(which, job.mask + at) : found;
    at += job.width;
    return _mm512_and_si512(found, kept);
  };
  __m512 totals[ranks][2] = {};
  for (int64_t token = 0; token < job.tokens; token += 2, pairs += job.stride) {
    prefetch(ahead);
    ahead += 2 * job.width;
    const __m512i here = row(seen), next = row(token + 1 < job.tokens ? seen : 0);
    const __m512i left = _mm512_permutex2var_epi16(here, left_pairs, next);
    const __m512i right = _mm512_permutex2var_epi16(here, right_pairs, next);
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

// A sum (ranks, width). What is too large to stay in the cache from one call to the next is asked
// for before it is needed.
struct Upright {
  float* at;
  bool begun;

  void ask_for(const Outer& job, int64_t rank, int64_t column) const {
    for (int64_t r = rank; r < std::min(job.ranks, rank + lanes); ++r)
      for (int64_t c = column; c < std::min(job.width, column + 2 * lanes); c += lanes)
        prefetch(at + r * job.width + c);
  }

  void add_tile(const Outer& job, int64_t rank, int64_t column, const Tile& tile) const {
    for (int64_t r = rank; r < std::min(job.ranks, rank + lanes); ++r)
      for (int64_t c = column; c < std::min(job.width, column + 2 * lanes); c += lanes)
        add(at + r * job.width + c, _mm512_loadu_ps(tile[r - rank] + c - column), job.width - c,
            begun);
  }
};

// A sum (width, ranks), likewise.
struct Turned {
  float* at;
  bool begun;

  void ask_for(const Outer& job, int64_t rank, int64_t column) const {
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

template <class Sum>
void outer(const Sum& sum, const Outer& job, int threads) {
  IN_PARALLEL
  for (int64_t column = 0; column < job.width; column += 2 * lanes) {
    Tile tile = {};
    for (int64_t rank = 0; rank < job.ranks; rank += lanes) {
      const int64_t end = std::min(job.ranks, rank + lanes);
      sum.ask_for(job, rank, column);
      job.mask ? outer_some<8, true>(job, rank, end, column, tile)
               : outer_some<8, false>(job, rank, end, column, tile);
      sum.add_tile(job, rank, column, tile);
    }
  }
}

#endif
