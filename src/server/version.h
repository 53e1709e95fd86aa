/* SPDX-License-Identifier: Apache-2.0
 *
 * What this build calls itself.
 */
#pragma once

#define KALAMDB_VERSION "0.1.0"
#ifndef KALAMDB_BUILD_DATE
#define KALAMDB_BUILD_DATE "unknown"
#endif
