// What adapters beside projections of one input compute, forward and backward. Their parts lie side
// by side in `low` and `inner`, (tokens, columns of all), each of an even number of columns.

#include <algorithm>

#include "expand.h"
#include "outer.h"
#include "reduce.h"

#if MULTIPLIES_PAIRS

namespace {

struct Adapter {
  const bf16* down;  // A (rank, in)
  const bf16* up;    // B (out, rank)
  bf16* wide;        // the outputs (tokens, out), or their gradient
  int64_t rank;
  int64_t width;  // out
  double scale;
  float* by_down;  // the sums of the gradients of both
  float* by_up;
  int64_t down_begun;  // whether there is anything in them
  int64_t up_begun;

  int64_t columns() const { return up_to(rank, 2); }
};

struct Fan {
  const Adapter* adapters;
  int64_t count;
  int64_t tokens;
  int64_t width;  // in
  int threads;
  pair* scratch;

  const Adapter* begin() const { return adapters; }
  const Adapter* end() const { return adapters + count; }

  int64_t columns() const {
    int64_t found = 0;
    for (const Adapter& each : *this) found += each.columns();
    return found;
  }
};

// The room for scales is behind that for the pairs of a matrix (width, stride).
float* scales_behind(const Fan& fan, int64_t width, int64_t stride) {
  return reinterpret_cast<float*>(fan.scratch + up_to(width, 2) / 2 * stride);
}

void meet_input(const Fan& fan, const bf16* rows, const uint16_t* mask, bf16* low) {
  const int64_t columns = fan.columns(), stride = up_to(columns, lanes);
  float* scales = scales_behind(fan, fan.width, stride);
  bf16* room = reinterpret_cast<bf16*>(scales + stride);
  int64_t column = 0;
  for (const Adapter& each : fan) {
    pair_along_rows(fan.scratch + column, stride, each.down, each.rank, fan.width);
    std::fill_n(scales + column, each.columns(), static_cast<float>(each.scale));
    column += each.columns();
  }
  reduce({rows, mask, room, fan.tokens, fan.width, fan.scratch, stride, scales, low, columns,
          columns},
         fan.threads);
}

void add_to_outputs(const Fan& fan, const bf16* low) {
  const int64_t columns = fan.columns();
  for (const Adapter& each : fan) {
    const int64_t stride = up_to(each.width, lanes);
    pair_along_rows(fan.scratch, stride, each.up, each.width, each.rank);
    expand({each.wide, nullptr, fan.tokens, each.width, low, columns, each.rank, fan.scratch,
            stride},
           fan.threads);
    low += each.columns();
  }
}

// The gradient of `low`, and that of the matrices B.
void return_from_outputs(const Fan& fan, const bf16* low, bf16* inner) {
  const int64_t columns = fan.columns();
  for (const Adapter& each : fan) {
    const int64_t stride = up_to(each.rank, lanes);
    float* scales = scales_behind(fan, each.width, stride);
    std::fill_n(scales, stride, static_cast<float>(each.scale));
    pair_along_columns(fan.scratch, stride, each.up, each.width, each.rank, each.rank);
    reduce({each.wide, nullptr, nullptr, fan.tokens, each.width, fan.scratch, stride, scales, inner,
            columns, each.columns()},
           fan.threads);
    pair_along_columns(fan.scratch, stride, low, fan.tokens, each.rank, columns);
    outer(Turned{each.by_up, each.up_begun != 0},
          {fan.scratch, stride, each.wide, nullptr, fan.tokens, each.width, each.rank},
          fan.threads);
    low += each.columns();
    inner += each.columns();
  }
}

// The gradient of the matrices A.
void meet_input_again(const Fan& fan, const bf16* rows, const uint16_t* mask, const bf16* inner) {
  const int64_t columns = fan.columns();
  for (const Adapter& each : fan) {
    const int64_t stride = up_to(each.rank, lanes);
    pair_along_columns(fan.scratch, stride, inner, fan.tokens, each.rank, columns);
    outer(Upright{each.by_down, each.down_begun != 0},
          {fan.scratch, stride, rows, mask, fan.tokens, fan.width, each.rank}, fan.threads);
    inner += each.columns();
  }
}

void add_to_total(const Fan& fan, bf16* total, const uint16_t* mask, const bf16* inner) {
  const int64_t columns = fan.columns(), stride = up_to(fan.width, lanes);
  pair* pairs = fan.scratch;
  for (const Adapter& each : fan) {
    pair_along_columns(pairs, stride, each.down, each.rank, fan.width, fan.width);
    pairs += each.columns() / 2 * stride;
  }
  expand({total, mask, fan.tokens, fan.width, inner, columns, columns, fan.scratch, stride},
         fan.threads);
}

}  // namespace

// `low` becomes what the matrices A make of what `mask` leaves of the rows, scaled; what the matrices
// B make of it is added to the outputs.
EXPORTED void adapters_forward(const Adapter* adapters, int64_t count, const bf16* rows,
                               const uint16_t* mask, bf16* low, pair* scratch, int64_t tokens,
                               int64_t width, int threads) {
  const Fan fan{adapters, count, tokens, width, threads, scratch};
  meet_input(fan, rows, mask, low);
  add_to_outputs(fan, low);
}

// The gradients of the matrices are added to their sums, that of the rows to `total`.
EXPORTED void adapters_backward(const Adapter* adapters, int64_t count, const bf16* rows,
                                const uint16_t* mask, const bf16* low, bf16* inner, bf16* total,
                                pair* scratch, int64_t tokens, int64_t width, int threads) {
  const Fan fan{adapters, count, tokens, width, threads, scratch};
  return_from_outputs(fan, low, inner);
  meet_input_again(fan, rows, mask, inner);
  add_to_total(fan, total, mask, inner);
}

#endif
