// Cross-entropy over rows of logits, and its gradient in their place.

#include <cmath>

#include "elements.h"

namespace {

constexpr int64_t block = 64 * lanes;

inline int64_t smallest(int64_t one, int64_t other) { return one < other ? one : other; }

// The sum of e^(scale x - highest). Blocks are added up in fp64: to one likely token thousands of unlikely
// ones add less than fp32 can tell from nothing.
template <class T>
double sum_of_powers(const T* logits, int64_t count, float scale, float highest) {
  double total = 0;
  for (int64_t start = 0; start < count; start += block) {
    const int64_t end = smallest(start + block, count);
    floats totals = {};
    for (int64_t i = start; i < end; i += lanes)
      totals += exponential(load(logits + i, end - i, -__builtin_inff()) * scale - highest);
    total += sum(totals);
  }
  return total;
}

template <class T>
float highest_of(const T* logits, int64_t count, float scale) {
  floats most = all(wide(logits[0]) * scale);
  for (int64_t i = 0; i < count; i += lanes)
    most = larger(most, load(logits + i, count - i, wide(logits[0])) * scale);
  return largest(most);
}

// Logits count `scale` times. Their gradient is `factor` times that of the losses, before that
// multiplication.
template <class T>
void cross_entropy(T* logits, const int64_t* targets, float* losses, int32_t* hits, int64_t rows,
                   int64_t vocabulary, float factor, float scale, int threads) {
  IN_PARALLEL
  for (int64_t row = 0; row < rows; ++row) {
    T *at = logits + row * vocabulary, *const target = at + targets[row];
    const float highest = highest_of(at, vocabulary, scale);
    const float below = wide(*target) * scale - highest;
    const T* likeliest = at;  // the first of several, as argmax has it
    while (likeliest < target && wide(*likeliest) * scale != highest) ++likeliest;
    hits[row] = likeliest == target && below == 0;
    const double total = sum_of_powers(at, vocabulary, scale, highest);
    losses[row] = static_cast<float>(std::log(total) - below);
    const float share = static_cast<float>(factor / total);
    const floats by_target = exponential(all(below)) * share - factor;
    for (int64_t i = 0; i < vocabulary; i += lanes) {
      const floats some = exponential(load(at + i, vocabulary - i) * scale - highest) * share;
      store(at + i, some, vocabulary - i);
    }
    store(target, by_target, 1);
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
