// AdamW (Loshchilov and Hutter, 2019) on many weights in two passes over memory. They are cut into
// pieces of one size, which threads take as they come: work is even, however unequal the weights.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "elements.h"

// What moves together, as training/engine/native/adamw.py lays it out.
struct Weight {
  float* master;
  float* average;
  float* square;
  float* step;  // one number
  bf16* narrow;
  float* wide;  // what the model computes with is one of these, or neither but the master itself
  int64_t size;
  double decay;
};

struct Settings {
  double rate, beta1, beta2, epsilon;
};

namespace {

constexpr int64_t piece_size = 8192;

typedef double doubles __attribute__((vector_size(4 * lanes)));
typedef float half_floats __attribute__((vector_size(2 * lanes)));

struct Piece {
  int64_t weight, begin, size;
};

std::vector<Piece> pieces(const Weight* weights, int64_t count) {
  std::vector<Piece> found;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t begin = 0; begin < weights[i].size; begin += piece_size)
      found.push_back({i, begin, std::min(piece_size, weights[i].size - begin)});
  return found;
}

// In fp64, where no square of an fp32 number overflows or vanishes.
inline doubles squares(half_floats some) {
  const doubles exact = __builtin_convertvector(some, doubles);
  return exact * exact;
}

// Adds parts to the first of them, and returns the sum of the squares of what that becomes. Those
// that are not there are null, and come last.
double add_up(float* const* parts, int64_t count, const Piece& piece) {
  while (count > 1 && !parts[count - 1]) --count;
  doubles found = {};
  for (int64_t i = piece.begin; i < piece.begin + piece.size; i += lanes) {
    const int64_t rest = piece.begin + piece.size - i;
    floats some = load(parts[0] + i, rest);
    for (int64_t part = 1; part < count; ++part) some += load(parts[part] + i, rest);
    if (count > 1) store(parts[0] + i, some, rest);
    half_floats both[2];
    std::memcpy(both, &some, sizeof both);
    found += squares(both[0]) + squares(both[1]);
  }
  double sum = 0;
  for (int64_t i = 0; i < lanes / 2; ++i) sum += found[i];
  return sum;
}

inline floats root(floats values) {
#ifdef __AVX512F__
  return (floats)_mm512_sqrt_ps((__m512)values);
#else
  return (floats)_mm256_sqrt_ps((__m256)values);
#endif
}

// The factors of a weight's step, in the order in which they are needed.
struct Factors {
  float clip, beta1_rest, beta2, beta2_rest, correction, epsilon, left, way;
};

Factors factors(double step, double decay, float clip, const Settings& by) {
  const auto in_fp32 = [](double value) { return static_cast<float>(value); };
  return {clip,
          in_fp32(1 - by.beta1),
          in_fp32(by.beta2),
          in_fp32(1 - by.beta2),
          in_fp32(std::sqrt(1 - std::pow(by.beta2, step))),
          in_fp32(by.epsilon),
          in_fp32(1 - by.rate * decay),
          in_fp32(by.rate / (1 - std::pow(by.beta1, step)))};
}

void move(const Weight& weight, const float* gradient, const Piece& piece, const Factors& by) {
  for (int64_t i = piece.begin; i < piece.begin + piece.size; i += lanes) {
    const int64_t rest = piece.begin + piece.size - i;
    const floats slope = load(gradient + i, rest) * by.clip;
    floats average = load(weight.average + i, rest);
    average += (slope - average) * by.beta1_rest;
    store(weight.average + i, average, rest);
    const floats square = slope * by.beta2_rest * slope + load(weight.square + i, rest) * by.beta2;
    store(weight.square + i, square, rest);
    const floats way = average * by.way / (root(square) / by.correction + by.epsilon);
    const floats master = load(weight.master + i, rest) * by.left - way;
    store(weight.master + i, master, rest);
    if (weight.narrow) store(weight.narrow + i, master, rest);
    if (weight.wide) store(weight.wide + i, master, rest);
  }
}

}  // namespace

// The gradients of weights, each from as many parts, which are added to the first: the norm of all.
// It is the same for any number of threads.
EXPORTED float add_up_gradients(const Weight* weights, float* const* parts, int64_t count,
                                int64_t parts_each, int threads) {
  const auto all = pieces(weights, count);
  std::vector<double> sums(all.size());
#pragma omp parallel for if (threads > 1) num_threads(threads) schedule(dynamic)
  for (std::size_t i = 0; i < all.size(); ++i)
    sums[i] = add_up(parts + all[i].weight * parts_each, parts_each, all[i]);
  double total = 0;
  for (const double sum : sums) total += sum;
  return static_cast<float>(std::sqrt(total));
}

// Moves weights by their gradients, each in the first of its parts, times `clip`.
EXPORTED void adamw(const Weight* weights, float* const* parts, int64_t count, int64_t parts_each,
                    float clip, const Settings* settings, int threads) {
  std::vector<Factors> by(count);
  for (int64_t i = 0; i < count; ++i)
    by[i] = factors(++*weights[i].step, weights[i].decay, clip, *settings);
  const auto all = pieces(weights, count);
#pragma omp parallel for if (threads > 1) num_threads(threads) schedule(dynamic)
  for (std::size_t i = 0; i < all.size(); ++i)
    move(weights[all[i].weight], parts[all[i].weight * parts_each], all[i], by[all[i].weight]);
}
