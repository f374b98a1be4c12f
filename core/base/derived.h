#pragma once
#include "base/buffer.h"
#include "base/function_ref.h"
#include "base/small_vector.h"

namespace sn {

// Other forms of a buffer's contents, such as a weight as a kernel wants it packed. They are made
// by who needs them, kept with the buffer, and go when it goes or when its memory gets other
// contents; their memory counts as in use.

// Who made the form, out of which part of the buffer, and how.
using DerivedKey = SmallVec<int64_t, 24>;

// The form that an earlier call has made, or that `make` makes now. Null the first time that a form
// is asked for: contents that are used once (a weight between two steps of a training) are not
// worth a copy. Null too when the buffer has more forms than are sensible. `source` must be ready.
BufferRef derived_form(Buffer& source, Allocator& allocator, const DerivedKey& key, size_t bytes,
                       FunctionRef<void(void*)> make);

// Bytes of all forms that are kept at the moment.
int64_t derived_bytes();

}  // namespace sn
