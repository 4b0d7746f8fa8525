// What adapters beside projections of one input compute, forward and backward: products of large
// matrices with others as thin as a rank. The parts of the adapters lie side by side in `low` and
// `inner`, (T, ranks of all), each of an even number of columns.

#include <algorithm>

#include "thin.h"

#if MULTIPLIES_PAIRS

namespace {

struct Adapter {
  const bf16* down;    // A (rank, in)
  const bf16* up;      // B (out, rank)
  bf16* wide;          // the outputs (T, out), or their gradient
  int64_t rank;
  int64_t width;  // out
  double scale;
  float* by_down;      // the sum of the gradients of A
  float* by_up;        // and of B
  int64_t down_begun;  // whether there is anything in it
  int64_t up_begun;

  int64_t columns() const { return up_to(rank, 2); }
};

int64_t columns_of(const Adapter* adapters, int64_t count) {
  int64_t columns = 0;
  for (int64_t i = 0; i < count; ++i) columns += adapters[i].columns();
  return columns;
}

}  // namespace

// `low` becomes what the matrices A make of the rows, scaled; what the matrices B make of that is added
// to the outputs.
EXPORTED void adapters_forward(const Adapter* adapters, int64_t count, const bf16* rows, bf16* low,
                               pair* scratch, int64_t tokens, int64_t width, int threads) {
  const int64_t columns = columns_of(adapters, count), stride = up_to(columns, lanes);
  float* scales = reinterpret_cast<float*>(scratch + up_to(width, 2) / 2 * stride);
  int64_t column = 0;
  for (const Adapter* each = adapters; each < adapters + count; ++each) {
    pair_along_rows(scratch + column, stride, each->down, each->rank, width);
    std::fill_n(scales + column, each->columns(), static_cast<float>(each->scale));
    column += each->columns();
  }
  reduce({rows, tokens, width, scratch, stride, scales, low, columns, columns}, threads);
  column = 0;
  for (const Adapter* each = adapters; each < adapters + count; ++each) {
    const int64_t across = up_to(each->width, lanes);
    pair_along_rows(scratch, across, each->up, each->width, each->rank);
    expand({each->wide, nullptr, tokens, each->width, low + column, columns, each->rank, scratch, across},
           threads);
    column += each->columns();
  }
}

// The gradients of the matrices are added to their sums, and that of the rows to `total`. What is in
// `inner` is of no use afterwards.
EXPORTED void adapters_backward(const Adapter* adapters, int64_t count, const bf16* rows,
                                const uint16_t* mask, const bf16* low, bf16* inner, bf16* total,
                                pair* scratch, int64_t tokens, int64_t width, int threads) {
  const int64_t columns = columns_of(adapters, count);
  int64_t column = 0;
  for (const Adapter* each = adapters; each < adapters + count; ++each) {
    const int64_t rank = each->rank, stride = up_to(rank, lanes);
    float* scales = reinterpret_cast<float*>(scratch + up_to(each->width, 2) / 2 * stride);
    std::fill_n(scales, stride, static_cast<float>(each->scale));
    pair_along_columns(scratch, stride, each->up, each->width, rank, rank);
    reduce({each->wide, tokens, each->width, scratch, stride, scales, inner + column, columns,
            each->columns()},
           threads);
    pair_along_columns(scratch, stride, low + column, tokens, rank, columns);
    outer(Turned{each->by_up, each->up_begun != 0},
          {scratch, stride, each->wide, nullptr, tokens, each->width, rank}, threads);
    column += each->columns();
  }
  column = 0;
  for (const Adapter* each = adapters; each < adapters + count; ++each) {
    const int64_t rank = each->rank, stride = up_to(rank, lanes);
    pair_along_columns(scratch, stride, inner + column, tokens, rank, columns);
    outer(Upright{each->by_down, each->down_begun != 0},
          {scratch, stride, rows, mask, tokens, width, rank}, threads);
    column += each->columns();
  }
  const int64_t across = up_to(width, lanes);
  column = 0;
  for (const Adapter* each = adapters; each < adapters + count; ++each) {
    pair_along_columns(scratch + column / 2 * across, across, each->down, each->rank, width, width);
    column += each->columns();
  }
  expand({total, mask, tokens, width, inner, columns, columns, scratch, across}, threads);
}

#endif
