// Softmax of causal attention's scores, in place: squares of `length` queries by `length` keys, of which
// a query sees itself and the `window - 1` keys before it.

#include "elements.h"

namespace {

inline int64_t first_seen(int64_t query, int64_t window) {
  return query < window ? 0 : query - window + 1;
}

template <class T>
void clear(T* row, int64_t first, int64_t last, int64_t length) {
  std::memset(static_cast<void*>(row), 0, first * sizeof(T));
  std::memset(static_cast<void*>(row + last + 1), 0, (length - last - 1) * sizeof(T));
}

constexpr float unseen = -__builtin_inff();  // what no exponential feels

template <class T>
void forward(T* scores, int64_t squares, int64_t length, int64_t window, int threads) {
  IN_PARALLEL
  for (int64_t row = 0; row < squares * length; ++row) {
    T* at = scores + row * length;
    const int64_t last = row % length, first = first_seen(last, window), count = last - first + 1;
    T* seen = at + first;
    floats most = all(unseen), totals = {};
    for (int64_t i = 0; i < count; i += lanes) most = larger(most, load(seen + i, count - i, unseen));
    const float highest = largest(most);
    for (int64_t i = 0; i < count; i += lanes)
      totals += exponential(load(seen + i, count - i, unseen) - highest);
    const float share = 1 / sum(totals);
    for (int64_t i = 0; i < count; i += lanes)
      store(seen + i, exponential(load(seen + i, count - i) - highest) * share, count - i);
    clear(at, first, last, length);
  }
}

// The gradient of the scores before they were multiplied by `scale` takes the place of that of the
// probabilities.
template <class T>
void backward(T* gradient, const T* probabilities, int64_t squares, int64_t length, int64_t window,
              float scale, int threads) {
  IN_PARALLEL
  for (int64_t row = 0; row < squares * length; ++row) {
    T* by = gradient + row * length;
    const int64_t last = row % length, first = first_seen(last, window), count = last - first + 1;
    const T* seen = probabilities + row * length + first;
    floats products = {};
    for (int64_t i = 0; i < count; i += lanes)
      products += load(by + first + i, count - i) * load(seen + i, count - i);
    const float along = sum(products);
    for (int64_t i = 0; i < count; i += lanes) {
      const floats some = load(by + first + i, count - i) - along;
      store(by + first + i, some * load(seen + i, count - i) * scale, count - i);
    }
    clear(by, first, last, length);
  }
}

}  // namespace

#define KERNELS(T)                                                                              \
  EXPORTED void causal_softmax_##T(T* scores, int64_t squares, int64_t length, int64_t window,  \
                                   int threads) {                                               \
    forward(scores, squares, length, window, threads);                                          \
  }                                                                                             \
  EXPORTED void causal_softmax_backward_##T(T* gradient, const T* probabilities,                \
                                            int64_t squares, int64_t length, int64_t window,    \
                                            float scale, int threads) {                         \
    backward(gradient, probabilities, squares, length, window, scale, threads);                 \
  }

KERNELS(bf16)
KERNELS(float)
