// silu(gate) * up (Shazeer, 2020).

#include "elements.h"

namespace {

template <class T>
void forward(T* product, const T* gate, const T* up, int64_t count, int threads) {
  IN_PARALLEL
  for (int64_t i = 0; i < count; i += lanes) {
    const floats value = load(gate + i, count - i);
    store(product + i, value * sigmoid(value) * load(up + i, count - i), count - i);
  }
}

// The gradients take the place of gate and up.
template <class T>
void backward(const T* by_product, T* gate, T* up, int64_t count, int threads) {
  IN_PARALLEL
  for (int64_t i = 0; i < count; i += lanes) {
    const floats by = load(by_product + i, count - i), value = load(gate + i, count - i);
    const floats share = sigmoid(value);
    const floats slope = share * (1 + value * (1 - share));
    store(gate + i, by * load(up + i, count - i) * slope, count - i);
    store(up + i, by * value * share, count - i);
  }
}

}  // namespace

#define KERNELS(T)                                                                              \
  EXPORTED void gated_##T(T* product, const T* gate, const T* up, int64_t count, int threads) { \
    forward(product, gate, up, count, threads);                                                 \
  }                                                                                             \
  EXPORTED void gated_backward_##T(const T* by_product, T* gate, T* up, int64_t count,          \
                                   int threads) {                                               \
    backward(by_product, gate, up, count, threads);                                             \
  }

KERNELS(bf16)
KERNELS(float)
