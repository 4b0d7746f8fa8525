// Causal attention within rows that lie end to end, in tiles that stay in the cache, as FlashAttention has
// it (Dao, 2023): no scores are kept, but the logarithm of each query's sum.
#pragma once

#include <omp.h>

#include "tiles.h"

#ifdef __AVX512BF16__

constexpr float unseen = -__builtin_inff();

struct Attention {
  int64_t heads, shared, width;  // of queries, of keys and values; elements of each
  int64_t window;                // a token sees itself and the `window - 1` before it
  float scale;

  int64_t together() const { return heads / shared; }  // queries that share keys
  // Tokens whose queries make a tile: enough that what is summed over them is long.
  int64_t tile_tokens() const { return lanes * ((2 + together()) / together()); }
  int64_t tile_queries() const { return tile_tokens() * together(); }
  int64_t first_seen(int64_t token) const { return token < window ? 0 : token - window + 1; }
};

inline int64_t rounded_up(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

// Memory of a thread, handed out piece by piece.
struct Scratch {
  char* at;

  template <class T>
  T* take(int64_t count) {
    char* const found = at;
    at += rounded_up(count * sizeof(T), 64);
    return reinterpret_cast<T*>(found);
  }
};

// Queries of one tile that share keys, those of a token together.
struct Tile {
  int64_t token, tokens, queries;  // its first token within the row

  Tile(const Attention& of, int64_t token, int64_t length)
      : token(token), tokens(of.tile_tokens() < length - token ? of.tile_tokens() : length - token),
        queries(tokens * of.together()) {}
};

// Its elements (tokens, together, width) of (tokens, heads, width) without gaps, then a query of zeros.
inline void gather(bf16* to, const bf16* from, const Attention& of, const Tile& tile) {
  const int64_t together = of.together() * of.width;
  for (int64_t token = 0; token < tile.tokens; ++token)
    std::memcpy(static_cast<void*>(to + token * together), from + token * of.heads * of.width,
                together * sizeof *to);
  std::memset(static_cast<void*>(to + tile.tokens * together), 0, of.width * sizeof *to);
}

inline const uint32_t* pairs_of(const bf16* elements) {
  return reinterpret_cast<const uint32_t*>(elements);
}

// Which of the keys from `key` on a token sees.
inline __mmask16 seen(const Attention& of, int64_t token, int64_t key) {
  const int64_t last = token - key, first = of.first_seen(token) - key;
  const uint32_t before = last < 0 ? 0 : last >= lanes ? 0xffff : (2u << last) - 1;
  const uint32_t hidden = first <= 0 ? 0 : first >= lanes ? 0xffff : (1u << first) - 1;
  return static_cast<__mmask16>(before & ~hidden);
}

constexpr __mmask16 all_seen = 0xffff;

// Does something for each vector of `count` keys from `key` on, given which of them `token` sees.
template <class Work>
inline void for_keys(const Attention& of, int64_t token, int64_t key, int64_t count, Work work) {
  int64_t i = 0;
  for (; i < count && key + i < of.first_seen(token); i += lanes) work(i, seen(of, token, key + i));
  for (; i < count && key + i + lanes - 1 <= token; i += lanes) work(i, all_seen);
  for (; i < count; i += lanes) work(i, seen(of, token, key + i));
}

inline floats where(__mmask16 mask, floats values, float otherwise) {
  return (floats)_mm512_mask_blend_ps(mask, (__m512)all(otherwise), (__m512)values);
}

#endif
