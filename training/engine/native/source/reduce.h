// thin (tokens, ranks) = scales * rows (tokens, width) M, where M is as thin as adapters' ranks.
#pragma once

#include <algorithm>

#include "pairs.h"

#if MULTIPLIES_PAIRS

struct Reduction {
  const bf16* rows;
  const uint16_t* mask;  // all bits or none of each element of the rows; null: all
  bf16* room;            // for as many rows as a tile has, for each thread; where there is a mask
  int64_t tokens;
  int64_t width;
  const pair* pairs;  // of M, along its columns, in whole vectors
  int64_t stride;
  const float* scales;  // by rank, in whole vectors
  bf16* thin;
  int64_t pitch;
  int64_t ranks;
};

constexpr int most_tokens = 14;  // of a tile

// Rows without what the mask takes from them.
inline const bf16* masked(const Reduction& job, int64_t token, int64_t tokens, bf16* room) {
  const bf16* from = job.rows + token * job.width;
  const uint16_t* mask = job.mask + token * job.width;
  for (int64_t i = 0; i < tokens * job.width; ++i) room[i].bits = from[i].bits & mask[i];
  return room;
}

// A pair of a token's row is read once for all ranks of the tile, those of M once for all its tokens.
template <int tokens, int blocks>
void reduce_tile(const Reduction& job, const bf16* at, int64_t token, int64_t rank) {
  const int64_t width = job.width, stride = job.stride;
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
void reduce_some(const Reduction& job, int64_t token, int64_t end, int64_t rank, bf16* room) {
  for (; token + tokens <= end; token += tokens) {
    const bf16* rows = job.mask ? masked(job, token, tokens, room) : job.rows + token * job.width;
    reduce_tile<tokens, blocks>(job, rows, token, rank);
  }
  if constexpr (tokens > 1) reduce_some<below(tokens), blocks>(job, token, end, rank, room);
}

inline void reduce_share(const Reduction& job, int64_t token, int64_t end, bf16* room) {
  for (int64_t rank = 0; rank < job.ranks;) {
    const int64_t blocks = up_to(job.ranks - rank, lanes) / lanes;
    if (blocks == 1) {
      reduce_some<most_tokens, 1>(job, token, end, rank, room), rank += lanes;
    } else if (blocks == 2 || blocks == 4) {
      reduce_some<12, 2>(job, token, end, rank, room), rank += 2 * lanes;
    } else {
      reduce_some<8, 3>(job, token, end, rank, room), rank += 3 * lanes;
    }
  }
}

inline void reduce(const Reduction& job, int threads) {
  const int64_t share = up_to(job.tokens, threads) / threads;
  IN_PARALLEL
  for (int64_t place = 0; place < threads; ++place) {
    const int64_t token = place * share, end = std::min(token + share, job.tokens);
    bf16* room = job.room ? job.room + place * most_tokens * job.width : nullptr;
    reduce_share(job, token, end, room);
  }
}

#endif
