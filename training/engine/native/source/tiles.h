// Products of small matrices in bf16, summed in fp32, by the instruction that multiplies pairs: of either
// matrix, two elements that follow each other along the dimension summed over lie in one word.
#pragma once

#include "elements.h"

#ifdef __AVX512BF16__

// The largest tile whose sums stay in registers.
constexpr int64_t tile_rows = 6, tile_vectors = 4;
// Columns of a panel, in which a transposed matrix is stored: those of a tile.
constexpr int64_t panel = tile_vectors * lanes;

struct Left {
  const uint32_t* at;
  int64_t row, step;  // words from one row to the next, and from one pair to the next
};

struct Right {
  const uint32_t* at;
  int64_t step;
};

struct Sums {
  float* at;
  int64_t row;
};

inline words load(const uint32_t* from) {
  words found;
  std::memcpy(&found, from, sizeof found);
  return found;
}

inline void store(uint32_t* to, words values) { std::memcpy(to, &values, sizeof values); }

// `rows` rows by so many vectors of sums of `pairs` products, added with `adds` to what is there.
template <int rows, int vectors>
void tile(Left left, Right right, Sums sums, int64_t pairs, bool adds) {
  floats found[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v)
      found[r][v] = adds ? load(sums.at + r * sums.row + v * lanes) : floats{};
  for (int64_t pair = 0; pair < pairs; ++pair) {
    words across[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) across[v] = load(right.at + pair * right.step + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const words down = left.at[r * left.row + pair * left.step] - words{};
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v)
        found[r][v] = (floats)_mm512_dpbf16_ps((__m512)found[r][v], (__m512bh)down, (__m512bh)across[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) store(sums.at + r * sums.row + v * lanes, found[r][v]);
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

// At most `tile_rows` rows by `vectors` vectors, be it in several tiles beside each other.
inline void multiply(int64_t rows, int64_t vectors, Left left, Right right, Sums sums, int64_t pairs,
                     bool adds) {
  for (; vectors > 0; vectors -= tile_vectors) {
    switch (vectors) {
      case 1: tile_of<1>(rows, left, right, sums, pairs, adds); break;
      case 2: tile_of<2>(rows, left, right, sums, pairs, adds); break;
      case 3: tile_of<3>(rows, left, right, sums, pairs, adds); break;
      default: tile_of<4>(rows, left, right, sums, pairs, adds);
    }
    right.at += panel;
    sums.at += panel;
  }
}

inline words words_of(const bf16* from) {
  halves found;
  std::memcpy(&found, from, sizeof found);
  return __builtin_convertvector(found, words);
}

// Rows of `width` elements two by two, each pair of rows as a row of words; a row of zeros behind an odd
// number, and behind that so many as make `padded` of them.
inline void pair_rows(uint32_t* to, const bf16* from, int64_t stride, int64_t rows, int64_t padded,
                      int64_t width) {
  for (int64_t row = 0; row < padded; row += 2, to += width, from += 2 * stride)
    for (int64_t i = 0; i < width; i += lanes) {
      const words one = row < rows ? words_of(from + i) : words{};
      const words other = row + 1 < rows ? words_of(from + stride + i) : words{};
      store(to + i, one | other << 16);
    }
}

// Rows of `width` elements as columns of words, in panels of (width / 2, panel), zeros behind the last.
inline void transpose(uint32_t* to, const bf16* from, int64_t stride, int64_t rows, int64_t width) {
  for (int64_t first = 0; first < rows; first += panel, to += width / 2 * panel) {
    const int64_t count = rows - first < panel ? rows - first : panel;
    if (count < panel) std::memset(to, 0, width / 2 * panel * sizeof *to);
    for (int64_t row = 0; row < count; ++row) {
      const bf16* const at = from + (first + row) * stride;
      for (int64_t i = 0; i < width / 2; ++i) std::memcpy(to + i * panel + row, at + 2 * i, sizeof *to);
    }
  }
}

inline float total(floats values) { return _mm512_reduce_add_ps((__m512)values); }

// 2^x, to one unit in the last place: by a power of two and a polynomial that was fitted to 2^x from -0.5
// to 0.5. Below 2^-150 is 0.
inline floats power_of_two(floats x) {
  x = larger(all(-160.0f), x);
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

#endif
