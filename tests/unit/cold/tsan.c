/* SPDX-License-Identifier: Apache-2.0
 *
 * The same exceptions for DuckDB as in the tests of engine/.
 */
#include "../engine/tsan.c"
