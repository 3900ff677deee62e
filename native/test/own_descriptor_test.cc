// A descriptor of our own says why it is of no file.
#include "own_descriptor.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace lustre {

TEST_CASE("a descriptor of our own is of the same file, or says why not") {
  OwnDescriptor first(STDERR_FILENO);
  CHECK(first.get() > STDERR_FILENO);
  CHECK(first.error() == 0);
  const int fd = first.get();
  const OwnDescriptor moved(std::move(first));
  CHECK(moved.get() == fd);

  CHECK(OwnDescriptor(-1).get() < 0);
  CHECK(OwnDescriptor(-1).error() == EBADF);

  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  // What is open stays open.
  const rlimit standard{STDERR_FILENO + 1, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &standard) == 0);
  const OwnDescriptor refused(STDERR_FILENO);
  const int error = refused.error();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(refused.get() < 0);
  CHECK(error == EMFILE);
}

}  // namespace lustre
