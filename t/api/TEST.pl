# The driver of Apache::Test; t/api/run calls it once to configure, start and
# run, each as a step of its own.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use TaskEvents::TestRun;

TaskEvents::TestRun->new->run(@ARGV);
