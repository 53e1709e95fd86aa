/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of os/ share.
 */
#pragma once

#include "base/error.h"

/* Asks the fault hook; true means: errno is set, the call is to fail. */
bool file__fault(const char *operation, const char *path);
/* Makes an Error out of errno: "<operation> <path>: <reason>". */
CHECKED Code file__failed(Error *e, const char *operation, const char *path);
