// Cross-entropy over rows of logits, and its gradient in their place.

#include <cmath>

#include "elements.h"

namespace {

// Logits count `scale` times. Their gradient is `factor` times that of the losses, before that
// multiplication.
template <class T>
void cross_entropy(T* logits, const int64_t* targets, float* losses, int32_t* hits, int64_t rows,
                   int64_t vocabulary, float factor, float scale, int threads) {
  const int64_t even = vocabulary / lanes * lanes;  // the rest is computed one by one
  IN_PARALLEL
  for (int64_t row = 0; row < rows; ++row) {
    T *at = logits + row * vocabulary, *const right_at = at + targets[row];
    const float right = wide(*right_at) * scale;
    floats most = all(right), totals = {};
    for (int64_t i = 0; i < even; i += lanes) most = larger(most, load(at + i) * scale);
    for (int64_t i = even; i < vocabulary; ++i) most = larger(most, all(wide(at[i]) * scale));
    const float highest = largest(most);
    const T* likeliest = at;  // the first of several, as argmax has it
    while (likeliest < right_at && wide(*likeliest) * scale != highest) ++likeliest;
    hits[row] = likeliest == right_at && right == highest;
    for (int64_t i = 0; i < even; i += lanes)
      totals += exponential(load(at + i) * scale - highest);
    float total = sum(totals);
    for (int64_t i = even; i < vocabulary; ++i)
      total += exponential(all(wide(at[i]) * scale - highest))[0];
    losses[row] = std::log(total) + highest - right;
    const float share = factor / total;
    for (int64_t i = 0; i < vocabulary; i += lanes) {
      const floats some = exponential(load(at + i, vocabulary - i) * scale - highest) * share;
      store(at + i, some, vocabulary - i);
    }
    const floats by_right = exponential(all(right - highest)) * share - factor;
    store(right_at, by_right, 1);
  }
}

}  // namespace

#define KERNELS(T)                                                                            \
  EXPORTED void cross_entropy_##T(T* logits, const int64_t* targets, float* losses,           \
                                  int32_t* hits, int64_t rows, int64_t vocabulary,            \
                                  float factor, float scale, int threads) {                   \
    cross_entropy(logits, targets, losses, hits, rows, vocabulary, factor, scale, threads);   \
  }

KERNELS(bf16)
KERNELS(float)
