#pragma once
// The typed C++ functions of the tensor namespace: what gradient and lowering rules are written
// with, and the C++ API. Each family header stands beside the file that holds its op records.
#include "op/attention.h"
#include "op/complex.h"
#include "op/conv.h"
#include "op/ctc.h"
#include "op/elementwise_api.h"
#include "op/indexing.h"
#include "op/linalg.h"
#include "op/movement.h"
#include "op/nn.h"
#include "op/random.h"
#include "op/recurrent.h"
#include "op/reduce.h"
#include "op/sorting.h"
#include "record/tensor.h"
