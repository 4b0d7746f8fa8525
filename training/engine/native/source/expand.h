// wide (tokens, width) += thin (tokens, ranks) M, where thin is as thin as adapters' ranks: what is
// wide is read once, written once and rounded once.
#pragma once

#include <algorithm>

#include "pairs.h"

#if MULTIPLIES_PAIRS

struct Expansion {
  bf16* wide;
  const uint16_t* mask;  // all bits or none of each element that is added; null: all
  int64_t tokens;
  int64_t width;
  const bf16* thin;
  int64_t pitch;
  int64_t ranks;
  const pair* pairs;  // of M, along its columns, in whole vectors
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
void expand_some(const Expansion& job, int64_t token, int64_t end, int64_t column, int64_t last) {
  for (; token + tokens <= end; token += tokens) {
    int64_t at = column;
    for (; at + 4 * lanes <= last; at += 4 * lanes) expand_tile<tokens, 4, masked>(job, token, at);
    for (; at < last; at += lanes) expand_tile<tokens, 1, masked>(job, token, at);
  }
  if constexpr (tokens > 1) expand_some<below(tokens), masked>(job, token, end, column, last);
}

// Columns at a time: so many that their part of M, of 64 KB, stays in the cache.
inline void expand_share(const Expansion& job, int64_t token, int64_t end) {
  const int64_t columns = up_to(32768 / job.ranks + 1, 4 * lanes);
  for (int64_t column = 0; column < job.width; column += columns) {
    const int64_t last = std::min(column + columns, job.width);
    job.mask ? expand_some<6, true>(job, token, end, column, last)
             : expand_some<6, false>(job, token, end, column, last);
  }
}

inline void expand(const Expansion& job, int threads) {
  const int64_t share = up_to(job.tokens, threads) / threads;
  IN_PARALLEL
  for (int64_t token = 0; token < job.tokens; token += share)
    expand_share(job, token, std::min(token + share, job.tokens));
}

#endif
