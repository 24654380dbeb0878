# A request's trace goes on in its event and in the request that publishes it.
use v5.32;
use warnings;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use TaskEvents::Stack;

bring_up('dapr');

# Between httpd and its sidecar: passes everything on, and keeps what it saw.
my $seen = "$ENV{TASKEVENTS_RUN}/tmp/trace-$$";
my $gate = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 20) or die "bind: $!";
my $pid  = fork // die "fork: $!";
if (!$pid) {
    pass_on();
    POSIX::_exit(0);
}
END { configure('') if $pid }    # whatever comes, the next test has the sidecar
configure('TaskEventsDaprURL http://127.0.0.1:' . $gate->sockport);

my $user  = new_user('trace');
my $trace = '4bf92f3577b34da6a3ce929d0e0e4736';
my $given = "00-$trace-00f067aa0ba902b7-01";
is api($user, POST => 'tasks', { title => 'Traced' }, headers => { traceparent => $given })->{status}, 201,
  'a task is created by a request with a traceparent';
my $published = published(1);
is api($user, POST => 'tasks', { title => 'Not traced' })->{status}, 201, 'and one by a request without';
my ($with, $without) = @{ published(2) };

ok eventually(60, sub { first_occurrences(stream_of($user)) == 2 }), 'both events are in Kafka';
my ($first, $second) = first_occurrences(stream_of($user));
like $first->{traceparent}, qr/^00-$trace-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/, 'the event goes on with the trace';
is $with, $first->{traceparent}, 'and so does the request that published it';
like $second->{traceparent}, qr/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/,
  'without one a new trace begins';
unlike $second->{traceparent}, qr/$trace/, 'which is not the other';
is $without, $second->{traceparent}, 'and the request that published it has it';

done_testing;
configure('');
kill TERM => $pid;
waitpid $pid, 0;
unlink $seen;
$pid = 0;

# The traceparents of the requests that published this user's events.
sub published {
    my ($n) = @_;
    return eventually 60, sub {
        open my $in, '<', $seen or return;
        my $text = do { local $/; <$in> };
        my @found;
        for my $request (grep { m{\APOST /v1\.0/publish/bulk/} } split m{(?=POST /v1\.0/)}, $text) {
            my ($head, $body) = split /\r\n\r\n/, $request;
            push @found, $head =~ /^traceparent: *(\S+)/mi ? $1 : '' if $body =~ /"partitionkey":"\Q$user\E"/;
        }
        @found >= $n && \@found;
    };
}

sub pass_on {
    my ($host, $port) = stack('DAPR_HTTP_ENDPOINT') =~ m{//([^:]+):(\d+)};
    my $select = IO::Select->new($gate);
    my %other;
    open my $out, '>', $seen or die "$seen: $!";
    $out->autoflush;
    while (1) {
        for my $socket ($select->can_read) {
            if ($socket == $gate) {
                my $client = $gate->accept or next;
                my $there  = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port) or next;
                $other{$client} = [$there, 1];
                $other{$there}  = [$client, 0];
                $select->add($client, $there);
                next;
            }
            my ($to, $is_request) = @{ $other{$socket} // next };
            if (!sysread $socket, my $bytes, 65536) {
                $select->remove($socket, $to);
                delete @other{ $socket, $to };
                close $_ for $socket, $to;
            }
            else {
                print {$out} $bytes if $is_request;
                print {$to} $bytes;
                $to->flush;
            }
        }
    }
}
