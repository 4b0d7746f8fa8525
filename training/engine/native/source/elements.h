// Elements as tensors hold them, and a register full of them as they are computed with: in fp32, rounded
// once.
#pragma once

#ifndef __AVX2__
#error "there are none for this processor: without AVX2 torch is faster"
#endif

#include <immintrin.h>

#include <cstdint>
#include <cstring>

using std::int32_t;
using std::int64_t;
using std::uint16_t;
using std::uint32_t;

// How a kernel is found by its name.
#define EXPORTED extern "C" __attribute__((visibility("default")))

// The iterations of a loop are shared out among threads, where there are several.
#define IN_PARALLEL _Pragma("omp parallel for if (threads > 1) num_threads(threads) schedule(static)")

struct bf16 {
  uint16_t bits;
};

#ifdef __AVX512F__
constexpr int64_t lanes = 16;
#else
constexpr int64_t lanes = 8;
#endif

typedef float floats __attribute__((vector_size(4 * lanes)));
typedef int32_t ints __attribute__((vector_size(4 * lanes)));
typedef uint32_t words __attribute__((vector_size(4 * lanes)));
typedef uint16_t halves __attribute__((vector_size(2 * lanes)));

template <class To, class From>
inline To reread(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To found;
  std::memcpy(&found, &value, sizeof found);
  return found;
}

inline floats all(float value) { return value - floats{}; }

inline float wide(float value) { return value; }
inline float wide(bf16 value) { return reread<float>(uint32_t{value.bits} << 16); }

inline floats load(const float* from) {
  floats found;
  std::memcpy(&found, from, sizeof found);
  return found;
}

inline floats load(const bf16* from) {
  halves found;
  std::memcpy(&found, from, sizeof found);
#ifdef __AVX512F__
  const auto widened = (words)_mm512_cvtepu16_epi32((__m256i)found);
#else
  const auto widened = __builtin_convertvector(found, words);
#endif
  return (floats)(widened << 16);
}

inline void store(float* to, floats values) { std::memcpy(to, &values, sizeof values); }

// Rounds to nearest, ties to even. Without an instruction for it a NaN stays one where it is what
// arithmetic makes of bf16, whose lower halves are not all ones.
inline void store(bf16* to, floats values) {
#ifdef __AVX512BF16__
  const auto rounded = _mm512_cvtneps_pbh((__m512)values);
#else
  const auto bits = (words)values;
  const auto rounded = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, halves);
#endif
  std::memcpy(static_cast<void*>(to), &rounded, 2 * lanes);
}

// The first `count` elements, followed by `rest`.
template <class T>
inline floats load(const T* from, int64_t count, float rest = 0) {
  if (count >= lanes) return load(from);
  T some[lanes];
  store(some, all(rest));
  std::memcpy(static_cast<void*>(some), from, count * sizeof(T));
  return load(some);
}

template <class T>
inline void store(T* to, floats values, int64_t count) {
  if (count >= lanes) return store(to, values);
  T some[lanes];
  store(some, values);
  std::memcpy(static_cast<void*>(to), some, count * sizeof(T));
}

// What `value` is once it was stored as a T.
template <class T>
inline floats rounded(floats values) {
  T some[lanes];
  store(some, values);
  return load(some);
}

inline float sum(floats values) {
  float total = 0;
  for (int64_t i = 0; i < lanes; ++i) total += values[i];
  return total;
}

// Of two, but a NaN where the second is one.
inline floats smaller(floats one, floats other) {
#ifdef __AVX512F__
  return (floats)_mm512_min_ps((__m512)one, (__m512)other);
#else
  return (floats)_mm256_min_ps((__m256)one, (__m256)other);
#endif
}

inline floats larger(floats one, floats other) {
#ifdef __AVX512F__
  return (floats)_mm512_max_ps((__m512)one, (__m512)other);
#else
  return (floats)_mm256_max_ps((__m256)one, (__m256)other);
#endif
}

inline float largest(floats values) {
  float most = values[0];
  for (int64_t i = 1; i < lanes; ++i) most = values[i] > most ? values[i] : most;
  return most;
}

// e^x to two units in the last place, for x from -87 to 88: by a power of two (Cody and Waite, 1980) and
// Taylor's polynomial.
inline floats exponential(floats x) {
  x = smaller(all(88.0f), larger(all(-87.0f), x));
  constexpr float shift = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to a whole number
  const floats shifted = x * 1.44269504f + shift;
  const floats whole = shifted - shift;
  const floats rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  floats total = all(1.0f / 720);
  total = total * rest + 1.0f / 120;
  total = total * rest + 1.0f / 24;
  total = total * rest + 1.0f / 6;
  total = total * rest + 0.5f;
  total = total * rest + 1.0f;
  total = total * rest + 1.0f;
  return (floats)((ints)total + ((ints)shifted << 23));
}

inline floats sigmoid(floats x) { return 1.0f / (1.0f + exponential(-x)); }
