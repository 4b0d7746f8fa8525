// Causal attention within rows that lie end to end, in tiles that stay in the cache, as
// FlashAttention has it (Dao, 2023): no scores are kept, but the logarithm of each query's sum of
// exponentials, to base 2.
#pragma once

#include <omp.h>

#include "tiles.h"

#if MULTIPLIES_PAIRS

namespace {

// What a call is about. Queries are (tokens, heads, width), keys and values (tokens, shared,
// width).
struct Attention {
  int64_t heads, shared, width;
  int64_t window;  // a token sees itself and the `window - 1` before it
  float scale;

  int64_t together() const { return heads / shared; }  // queries that share a key
  // Tokens whose queries make a tile: so many that what is summed over its queries is long.
  int64_t tile_tokens() const { return lanes * ((5 + together()) / together()); }
  int64_t tile_queries() const { return tile_tokens() * together(); }
  int64_t first_seen(int64_t token) const { return token < window ? 0 : token - window + 1; }
  float factor() const { return scale * 1.44269504f; }  // e^(scale * x) = 2^(factor * x)
};

// The tokens of a row for which work is done, and the head whose keys and values they meet.
struct Row {
  int64_t first, length, head;

  Row(const Attention& of, const int32_t* borders, int64_t part)
      : first(borders[part / of.shared]),
        length(borders[part / of.shared + 1] - first),
        head(part % of.shared) {}
  // Where its keys begin, and where the queries of one of its tokens do, counted in heads.
  int64_t keys(const Attention& of) const { return first * of.shared + head; }
  int64_t queries(const Attention& of, int64_t token) const {
    return (first + token) * of.heads + head * of.together();
  }
};

// Queries of a row's tokens from `token` on that share keys, those of a token together.
struct Tile {
  int64_t token, tokens, queries;

  Tile(const Attention& of, int64_t token, int64_t length)
      : token(token),
        tokens(least(of.tile_tokens(), length - token)),
        queries(tokens * of.together()) {}
  int64_t end() const { return token + tokens; }
  int64_t token_of(const Attention& of, int64_t query) const {
    return token + query / of.together();
  }
  // The place of one of its queries, counted in heads from its first.
  int64_t place(const Attention& of, int64_t query) const {
    return query / of.together() * of.heads + query % of.together();
  }
};

// A thread's own memory, handed out piece by piece.
struct Scratch {
  uintptr_t at;

  template <class T>
  T* take(int64_t count) {
    const uintptr_t found = at;
    at += up_to(count * sizeof(T), 64);
    return reinterpret_cast<T*>(found);
  }
};

// A tile's queries without gaps, then one of zeros.
inline void gather(bf16* to, const bf16* from, const Attention& of, const Tile& tile) {
  const int64_t together = of.together() * of.width;
  for (int64_t token = 0; token < tile.tokens; ++token, to += together, from += of.heads * of.width)
    std::memcpy(static_cast<void*>(to), from, together * sizeof *to);
  std::memset(static_cast<void*>(to), 0, of.width * sizeof *to);
}

inline const pair* pairs_of(const bf16* elements) {
  return reinterpret_cast<const pair*>(elements);
}

inline void write(bf16* to, const float* sums, float factor, int64_t width) {
  for (int64_t i = 0; i < width; i += lanes) store(to + i, load(sums + i) * factor);
}

constexpr __mmask16 all_seen = 0xffff;

// Which of the keys from `key` on a token sees.
inline __mmask16 seen(const Attention& of, int64_t token, int64_t key) {
  const int64_t hidden = of.first_seen(token) - key;
  return token < key ? 0 : first(token - key + 1) & ~(hidden > 0 ? first(hidden) : 0);
}

// Does something for each vector of `count` keys from `key` on, told which of them a token sees.
template <class Work>
inline void for_keys(const Attention& of, int64_t token, int64_t key, int64_t count, Work work) {
  int64_t i = 0;
  for (; i < count && key + i < of.first_seen(token); i += lanes) work(i, seen(of, token, key + i));
  for (; i < count && key + i + lanes <= token + 1; i += lanes) work(i, all_seen);
  for (; i < count; i += lanes) work(i, seen(of, token, key + i));
}

inline floats where(__mmask16 mask, floats values, float otherwise) {
  return (floats)_mm512_mask_blend_ps(mask, (__m512)all(otherwise), (__m512)values);
}

}  // namespace

#endif
