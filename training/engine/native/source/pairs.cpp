// Whether this processor has what `pairs.h` is for.

#include "pairs.h"

EXPORTED int multiplies_pairs() { return MULTIPLIES_PAIRS; }
