// Root-mean-square normalisation (Zhang and Sennrich, 2019) of rows of `width` elements.

#include <cmath>

#include "elements.h"

namespace {

template <class T>
void weigh(T* out, const T* in, const T* weight, float factor, int64_t width) {
  for (int64_t i = 0; i < width; i += lanes) {
    const floats normal = rounded<T>(load(in + i, width - i) * factor);
    store(out + i, normal * load(weight + i, width - i), width - i);
  }
}

template <class T>
void forward(T* out, float* factors, const T* in, const T* weight, int64_t rows, int64_t width,
             float epsilon, int threads) {
  IN_PARALLEL
  for (int64_t row = 0; row < rows; ++row) {
    const T* from = in + row * width;
    floats squares = {};
    for (int64_t i = 0; i < width; i += lanes) {
      const floats some = load(from + i, width - i);
      squares += some * some;
    }
    factors[row] = 1 / std::sqrt(sum(squares) / static_cast<float>(width) + epsilon);
    weigh(out + row * width, from, weight, factors[row], width);
  }
}

template <class T>
void again(T* out, const float* factors, const T* in, const T* weight, int64_t rows, int64_t width,
           int threads) {
  IN_PARALLEL
  for (int64_t row = 0; row < rows; ++row)
    weigh(out + row * width, in + row * width, weight, factors[row], width);
}

// The gradient of the input takes the place of that of the output.
template <class T>
void backward(T* gradient, const T* in, const float* factors, const T* weight, int64_t rows,
              int64_t width, int threads) {
  IN_PARALLEL
  for (int64_t row = 0; row < rows; ++row) {
    T* by = gradient + row * width;
    const T* from = in + row * width;
    const float factor = factors[row];
    floats products = {};
    for (int64_t i = 0; i < width; i += lanes)
      products += load(by + i, width - i) * load(weight + i, width - i) * load(from + i, width - i);
    const float back = sum(products) * factor * factor / static_cast<float>(width);
    for (int64_t i = 0; i < width; i += lanes) {
      const floats scaled = load(by + i, width - i) * load(weight + i, width - i);
      store(by + i, (scaled - load(from + i, width - i) * back) * factor, width - i);
    }
  }
}

// The weight's gradient, from that of the output.
template <class T>
void weight_backward(float* by_weight, const T* gradient, const T* in, const float* factors,
                     int64_t rows, int64_t width, int threads) {
  IN_PARALLEL
  for (int64_t i = 0; i < width; i += lanes) {
    floats total = {};
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t at = row * width + i;
      total += load(gradient + at, width - i) * load(in + at, width - i) * factors[row];
    }
    store(by_weight + i, total, width - i);
  }
}

}  // namespace

#define KERNELS(T)                                                                              \
  EXPORTED void norm_forward_##T(T* out, float* factors, const T* in, const T* weight,          \
                                 int64_t rows, int64_t width, float epsilon, int threads) {     \
    forward(out, factors, in, weight, rows, width, epsilon, threads);                           \
  }                                                                                             \
  EXPORTED void norm_again_##T(T* out, const float* factors, const T* in, const T* weight,      \
                               int64_t rows, int64_t width, int threads) {                      \
    again(out, factors, in, weight, rows, width, threads);                                      \
  }                                                                                             \
  EXPORTED void norm_backward_##T(T* gradient, const T* in, const float* factors,               \
                                  const T* weight, int64_t rows, int64_t width, int threads) {  \
    backward(gradient, in, factors, weight, rows, width, threads);                              \
  }                                                                                             \
  EXPORTED void norm_weight_backward_##T(float* by_weight, const T* gradient, const T* in,      \
                                         const float* factors, int64_t rows, int64_t width,     \
                                         int threads) {                                         \
    weight_backward(by_weight, gradient, in, factors, rows, width, threads);                    \
  }

KERNELS(bf16)
KERNELS(float)
