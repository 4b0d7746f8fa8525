// Rotary position embedding (Su et al., 2021) of heads (tokens, count, width).

#include "elements.h"

namespace {

template <class T>
void turn(T* heads, const T* cosines, const T* sines, int64_t tokens, int64_t count, int64_t width,
          int threads) {
  const int64_t half = width / 2;
  IN_PARALLEL
  for (int64_t token = 0; token < tokens; ++token) {
    const T *cosine = cosines + token * half, *sine = sines + token * half;
    for (int64_t head = 0; head < count; ++head) {
      T *first = heads + (token * count + head) * width, *second = first + half;
      for (int64_t i = 0; i < half; i += lanes) {
        const floats a = load(first + i, half - i), b = load(second + i, half - i);
        const floats c = load(cosine + i, half - i), s = load(sine + i, half - i);
        store(first + i, a * c - b * s, half - i);
        store(second + i, b * c + a * s, half - i);
      }
    }
  }
}

}  // namespace

#define KERNELS(T)                                                                    \
  EXPORTED void turn_##T(T* heads, const T* cosines, const T* sines, int64_t tokens,  \
                         int64_t count, int64_t width, int threads) {                 \
    turn(heads, cosines, sines, tokens, count, width, threads);                       \
  }

KERNELS(bf16)
KERNELS(float)
