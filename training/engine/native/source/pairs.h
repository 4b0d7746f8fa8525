// Products of bf16 matrices as a processor computes them that has an instruction for it: of pairs of
// neighbours along the dimension that is summed over, sixteen pairs at a time, in fp32.
#pragma once

#include "elements.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define MULTIPLIES_PAIRS 1

typedef uint32_t pair;

constexpr int64_t up_to(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// Which of sixteen, or of thirty-two, elements are among the `count` first.
inline __mmask16 first(int64_t count) {
  return static_cast<__mmask16>(count < 16 ? (1u << count) - 1 : ~0u);
}

inline __mmask32 first_of_32(int64_t count) { return count < 32 ? (1u << count) - 1 : ~0u; }

// The largest power of two below `count`: how many to go on with where so many are not left.
constexpr int below(int count) {
  int found = 1;
  while (2 * found < count) found *= 2;
  return found;
}

inline __m512 add_products(__m512 totals, __m512i some, __m512i others) {
  return _mm512_dpbf16_ps(totals, (__m512bh)some, (__m512bh)others);
}

inline __m512i everywhere(pair value) { return _mm512_set1_epi32(static_cast<int>(value)); }

inline pair pair_at(const bf16* at) {
  pair found;
  std::memcpy(&found, at, sizeof found);
  return found;
}

// Inlined before GCC finds that it computes nothing and leaves it out.
__attribute__((always_inline)) inline void prefetch(const void* at) {
  _mm_prefetch(static_cast<const char*>(at), _MM_HINT_T0);
}

// Sixteen rows of sixteen numbers of 32 bits.
inline void transpose(__m512i (&rows)[16]) {
  __m512i next[16];
  for (int i = 0; i < 16; i += 2) {
    next[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    next[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      rows[i + 2 * j] = _mm512_unpacklo_epi64(next[i + j], next[i + j + 2]);
      rows[i + 2 * j + 1] = _mm512_unpackhi_epi64(next[i + j], next[i + j + 2]);
    }
  for (int i = 0; i < 16; i += 8)
    for (int j = 0; j < 4; ++j) {
      next[i + j] = _mm512_shuffle_i32x4(rows[i + j], rows[i + j + 4], 0x88);
      next[i + j + 4] = _mm512_shuffle_i32x4(rows[i + j], rows[i + j + 4], 0xdd);
    }
  for (int j = 0; j < 8; ++j) {
    rows[j] = _mm512_shuffle_i32x4(next[j], next[j + 8], 0x88);
    rows[j + 8] = _mm512_shuffle_i32x4(next[j], next[j + 8], 0xdd);
  }
}

// Pairs (columns / 2, stride) of neighbours within a row of a matrix (rows, columns), and of zeros
// beside them where the number of rows is odd.
inline void pair_along_rows(pair* pairs, int64_t stride, const bf16* matrix, int64_t rows,
                            int64_t columns) {
  for (int64_t row = 0; row < rows; row += lanes)
    for (int64_t column = 0; column < columns; column += 2 * lanes) {
      const int64_t left = columns - column;
      const bf16* at = matrix + row * columns + column;
      __m512i some[16];
      for (int64_t i = 0; i < lanes; ++i) {
        const __mmask32 seen = row + i < rows ? first_of_32(left) : 0;
        some[i] = _mm512_maskz_loadu_epi16(seen, at + i * columns);
      }
      transpose(some);
      pair* to = pairs + column / 2 * stride + row;
      for (int64_t i = 0; i < lanes && 2 * i < left; ++i)
        _mm512_mask_storeu_epi32(to + i * stride, first(up_to(rows, 2) - row), some[i]);
    }
}

// Pairs (rows / 2, stride) of neighbours within a column of a matrix (rows, columns) whose rows lie
// `pitch` apart, the rest zero up to whole vectors.
inline void pair_along_columns(pair* pairs, int64_t stride, const bf16* matrix, int64_t rows,
                               int64_t columns, int64_t pitch) {
  for (int64_t row = 0; row < rows; row += 2)
    for (int64_t column = 0; column < columns; column += lanes) {
      const bf16* at = matrix + row * pitch + column;
      const __mmask16 seen = first(columns - column), seen_below = row + 1 < rows ? seen : 0;
      const __m512i upper = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(seen, at));
      const __m512i lower = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(seen_below, at + pitch));
      _mm512_storeu_si512(pairs + row / 2 * stride + column,
                          _mm512_or_si512(upper, _mm512_slli_epi32(lower, 16)));
    }
}

#else
#define MULTIPLIES_PAIRS 0
#endif
