// Products of small matrices in bf16, summed in fp32, in tiles whose sums stay in registers.
#pragma once

#include "pairs.h"

#if MULTIPLIES_PAIRS

namespace {

// The largest tile.
constexpr int64_t tile_rows = 6, tile_vectors = 4;
// Columns of a panel, in which a matrix lies that was transposed: those of a tile.
constexpr int64_t panel = tile_vectors * lanes;

struct Left {
  const pair* at;
  int64_t row, step;  // from one row to the next, and from one pair to the next
};

struct Right {
  const pair* at;
  int64_t step;
};

struct Sums {
  float* at;
  int64_t row;
};

inline int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }

inline __m512i pairs_at(const pair* from) { return _mm512_loadu_si512(from); }

// `rows` rows by so many vectors of sums of `pairs` products, added with `adds` to what is there.
// The loops are unrolled before the compiler decides what lies in registers.
template <int rows, int vectors>
void tile(Left left, Right right, Sums sums, int64_t pairs, bool adds) {
  __m512 found[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) found[r][v] = _mm512_setzero_ps();
  for (int64_t i = 0; i < pairs; ++i) {
    __m512i across[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) across[v] = pairs_at(right.at + i * right.step + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const __m512i down = everywhere(left.at[r * left.row + i * left.step]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) found[r][v] = add_products(found[r][v], down, across[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      float* const at = sums.at + r * sums.row + v * lanes;
      _mm512_storeu_ps(at, adds ? _mm512_add_ps(found[r][v], _mm512_loadu_ps(at)) : found[r][v]);
    }
}

template <int vectors>
void tile_of(int64_t rows, Left left, Right right, Sums sums, int64_t pairs, bool adds) {
  switch (rows) {
    case 1: return tile<1, vectors>(left, right, sums, pairs, adds);
    case 2: return tile<2, vectors>(left, right, sums, pairs, adds);
    case 3: return tile<3, vectors>(left, right, sums, pairs, adds);
    case 4: return tile<4, vectors>(left, right, sums, pairs, adds);
    case 5: return tile<5, vectors>(left, right, sums, pairs, adds);
    default: return tile<6, vectors>(left, right, sums, pairs, adds);
  }
}

// At most `tile_rows` rows; from the columns of a tile to the next of the right matrix are `apart`
// pairs.
inline void multiply(int64_t rows, int64_t columns, Left left, Right right, int64_t apart,
                     Sums sums, int64_t pairs, bool adds) {
  for (; columns > 0; columns -= panel, right.at += apart, sums.at += panel) {
    switch (columns / lanes) {
      case 1: tile_of<1>(rows, left, right, sums, pairs, adds); break;
      case 2: tile_of<2>(rows, left, right, sums, pairs, adds); break;
      case 3: tile_of<3>(rows, left, right, sums, pairs, adds); break;
      default: tile_of<4>(rows, left, right, sums, pairs, adds);
    }
  }
}

// Rows of `width` elements, `pitch` apart, as columns of pairs in panels (width / 2, panel), the
// rest of the last one zeros.
inline void fill_panels(pair* to, const bf16* from, int64_t pitch, int64_t rows, int64_t width) {
  const int64_t half = width / 2;
  for (int64_t row = 0; row < up_to(rows, panel); row += lanes)
    for (int64_t at = 0; at < half; at += lanes) {
      __m512i some[lanes];
      for (int64_t i = 0; i < lanes; ++i) {
        const __mmask16 inside = row + i < rows ? first(half - at) : 0;
        some[i] = _mm512_maskz_loadu_epi32(inside, from + (row + i) * pitch + 2 * at);
      }
      transpose(some);
      pair* const column = to + row / panel * half * panel + at * panel + row % panel;
      for (int64_t i = 0; i < lanes && at + i < half; ++i)
        _mm512_storeu_si512(column + i * panel, some[i]);
    }
}

// Rows of `width` elements, `pitch` apart, two by two, followed by so many of zeros as make
// `padded`.
inline void fill_pairs(pair* to, const bf16* from, int64_t pitch, int64_t rows, int64_t padded,
                       int64_t width) {
  pair_along_columns(to, width, from, rows, width, pitch);
  const int64_t even = up_to(rows, 2);
  std::memset(to + even / 2 * width, 0, (padded - even) / 2 * width * sizeof *to);
}

// 2^x to one unit in the last place: by a power of two, and a polynomial fitted to 2^x from -0.5 to
// 0.5.
inline floats power_of_two(floats x) {
  const floats whole = (floats)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT);
  const floats rest = x - whole;
  floats found = all(1.32647273e-3f);
  found = found * rest + 9.67151299e-3f;
  found = found * rest + 5.55073358e-2f;
  found = found * rest + 2.40222424e-1f;
  found = found * rest + 6.93147004e-1f;
  found = found * rest + 1.0f;
  return (floats)_mm512_scalef_ps((__m512)found, (__m512)whole);
}

inline float total(floats values) { return _mm512_reduce_add_ps((__m512)values); }

}  // namespace

#endif
