package TaskEvents::Stack;

# The real stack, for tests: what ./dev runs, what a user sends, what Kafka has.

use v5.32;
use warnings;

use Cwd ();
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Spec;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
  bring_up attach stack ctl second_httpd configure children new_user api tasks deliver publish eventually
  records stream_of first_occurrences gapless json sql
);

my $ROOT = Cwd::realpath(dirname(File::Spec->rel2abs(__FILE__)) . '/../../../..');
my $JSON = JSON::PP->new->utf8->canonical;
# One connection each: a kept one may be closed just as we send, and then
# nobody could tell whose fault a failed request was.
my $http = HTTP::Tiny->new(timeout => 15, keep_alive => 0);
my %stack;    # what `./dev env` says, and the transport's name

sub json { $JSON }

# ---- the stack ---------------------------------------------------------------

# An instance of the tests' own, whoever's shell this is.
$ENV{TASKEVENTS_RUN} //= "$ROOT/.run/test/stack";
delete @ENV{qw(TASKEVENTS_BROKERS DAPR_API_TOKEN APP_API_TOKEN DAPR_HTTP_ENDPOINT)};

sub dev {
    my @words = @_;
    open my $out, '-|', "$ROOT/dev", @words or die "./dev: $!";
    local $/;
    my $text = <$out>;
    close $out or die "./dev @words failed\n";
    return $text;
}

# bring_up('local' or 'dapr')
sub bring_up {
    my ($transport) = @_;
    dev('up', $transport eq 'dapr' ? '--dapr' : ());
    attach();
}

# To what somebody else has brought up.
sub attach {
    %stack = ();
    for (split /\n/, dev('env')) {
        my ($name, $value) = /^export (\w+)=(.*)$/ or next;
        $stack{$name} = $value =~ s/\\(.)/$1/gr;
    }
}

sub stack { $stack{ $_[0] } // die "no $_[0] with this transport" }

sub ctl { dev('ctl', @_); return }

# Lines for httpd beside its configuration, until they are taken back by none.
sub configure {
    my ($lines) = @_;
    my $file = "$ENV{TASKEVENTS_RUN}/httpd/local.conf";
    if (length $lines) {
        open my $out, '>', $file or die "$file: $!";
        print {$out} "$lines\n";
        close $out or die "$file: $!";
    }
    else { unlink $file }
    ctl(httpd => 'restart');
}

my %seconds;    # started and not stopped, and by whom

# Another httpd with the same database and sidecar, on ports of its own, and
# that module instead of this build's when one is named: its URL, code that
# stops it, and the URL of its sidecar's listener.
sub second_httpd {
    my ($module) = @_;
    my $run = $ENV{TASKEVENTS_RUN};
    open my $in, '<', "$run/httpd/httpd.conf" or die "httpd.conf: $!";
    my $conf = do { local $/; <$in> };
    my %port = map { stack($_) =~ /:(\d+)$/ => free_port() } qw(TASKEVENTS_URL TASKEVENTS_SIDECAR_URL);
    $conf =~ s/127\.0\.0\.1:$_\b/127.0.0.1:$port{$_}/g for keys %port;
    $conf =~ s{"$run/httpd/run\b}{"$run/second/run}g;
    $conf =~ s{"$run/log/httpd}{"$run/log/httpd-second}g;
    $conf =~ s{"$run/httpd/modules/mod_taskevents\.so"}{"$module"} if defined $module;
    system 'mkdir', '-p', "$run/second/run";
    open my $out, '>', "$run/second/httpd.conf" or die "second/httpd.conf: $!";
    print {$out} $conf;
    close $out or die "second/httpd.conf: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        # as ./dev starts the first one
        exec 'bash', '-c', 'ROOT=$1 RUN=$2; . "$1/t/stack/lib/common.sh"; give "$2/second/run"; as_service "$2"
            exec setsid "${AS[@]}" "$3" -f "$2/second/httpd.conf" -D FOREGROUND >"$2/second/out" 2>&1',
          'bash', $ROOT, $run, program_of(httpd_pid());
        die "bash: $!";
    }
    my ($url, $sidecar) = map { 'http://127.0.0.1:' . $port{ stack($_) =~ /:(\d+)$/ ? $1 : die } }
      qw(TASKEVENTS_URL TASKEVENTS_SIDECAR_URL);
    eventually(30, sub { $http->get("$url/healthz")->{success} }) or die "no second httpd: see $run/second/out\n";
    $seconds{$pid} = $$;
    return ($url, sub { delete $seconds{$pid}; kill WINCH => $pid; waitpid $pid, 0; return $? }, $sidecar);
}

# Whatever comes, it does not outlive its test.
END { kill TERM => grep { $seconds{$_} == $$ } keys %seconds }

sub free_port {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or die "bind: $!";
    return $socket->sockport;
}

sub program_of { return readlink "/proc/$_[0]/exe" // die "no process $_[0]" }
sub httpd_pid { return dev('status') =~ /^httpd +\w+ +pid (\d+)/m ? $1 : die "httpd does not run\n" }

# The children of httpd that there are.
sub children {
    my $pid = httpd_pid();
    open my $words, '<', "/proc/$pid/task/$pid/children" or return;
    return split ' ', <$words> // '';
}

# eventually SECONDS, sub: what the sub returns once it is true, else nothing.
sub eventually {
    my ($seconds, $is_so) = @_;
    my $end = time + $seconds;
    while (1) {
        my $what = $is_so->();
        return $what if $what;
        return if time >= $end;
        sleep 0.1;
    }
}

# ---- users and their requests ------------------------------------------------

# Nobody else's: tests look only at the events of their own users.
sub new_user {
    my ($name) = @_;
    return sprintf '%s-%d-%06x', $name // 'user', $$, int rand 1 << 24;
}

my %token;

sub token {
    my ($user) = @_;
    return $token{$user} //= do {
        chomp(my $text = dev('token', $user));
        $text;
    };
}

sub request {
    my ($method, $url, $headers, $body) = @_;
    my $began = time;
    my $answer = $http->request($method, $url,
        { headers => $headers, defined $body ? (content => $body) : () });
    $answer->{seconds} = time - $began;
    $answer->{json} = eval { $JSON->decode($answer->{content}) };
    return $answer;
}

# api USER, METHOD, path below the user's, body: as that user. More: headers,
# url (another server's).
sub api {
    my ($user, $method, $path, $body, %more) = @_;
    return request(
        $method,
        ($more{url} // stack('TASKEVENTS_URL')) . "/api/$user/$path",
        {
            authorization => 'Bearer ' . token($user),
            $body ? ('content-type' => 'application/json') : (),
            %{ $more{headers} // {} },
        },
        $body ? $JSON->encode($body) : undef);
}

# All of the user's tasks, in order of their due date; none if it cannot be told.
sub tasks {
    my ($user) = @_;
    my ($path, @tasks, @none) = ('tasks?limit=200');
    while ($path) {
        my $answer = api($user, GET => $path);
        return @none if $answer->{status} != 200;
        push @tasks, @{ $answer->{json} };
        ($path) = ($answer->{headers}{link} // '') =~ m{<[^>]*/(tasks\?[^>]*)>; rel="next"};
    }
    @tasks = sort { ($a->{due_date} // '') cmp ($b->{due_date} // '') } @tasks;
    return @tasks;
}

# What the sidecar would send: an event to one of the delivery routes, of another
# httpd when its listener is named.
sub deliver {
    my ($route, $event, $sidecar) = @_;
    return request(
        POST => ($sidecar // stack('TASKEVENTS_SIDECAR_URL')) . "/api/events/$route",
        {
            'dapr-api-token' => stack('APP_API_TOKEN'),
            'content-type'   => 'application/cloudevents+json',
        },
        ref $event ? $JSON->encode($event) : $event);
}

# An event of somebody else on the topic, through the sidecar.
sub publish {
    my ($topic, $key, $event) = @_;
    return request(
        POST => stack('DAPR_HTTP_ENDPOINT')
          . "/v1.0/publish/kafka-pubsub/$topic?metadata.partitionKey=$key",
        {
            'dapr-api-token' => stack('DAPR_API_TOKEN'),
            'content-type'   => 'application/cloudevents+json',
        },
        $JSON->encode($event));
}

# ---- the database ------------------------------------------------------------

# The rows of the statement, each of them a value that is JSON.
sub sql {
    my ($text) = @_;
    open my $out, '-|', 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', stack('TASKEVENTS_DSN'),
      '-c', $text or die "psql: $!";
    my @rows = map { JSON::PP->new->utf8->allow_nonref->decode($_) } <$out>;
    close $out or die "psql failed: $text\n";
    return @rows;
}

# ---- Kafka -------------------------------------------------------------------

# Every record of the topic, or of one user on it, from its beginning, in order
# within a partition. What kcat had when it failed may be some of them: it is asked
# again.
sub records {
    my ($topic, $user, $tries) = @_;
    open my $out, '-|', 'timeout', 60, 'kcat', '-C', '-e', '-q', '-o', 'beginning',
      '-b', stack('TASKEVENTS_BROKERS'), '-t', $topic, '-f', '%k\t%p\t%o\t%s\n'
      or die "kcat: $!";
    my @records;
    while (<$out>) {
        chomp;
        my ($key, $partition, $offset, $value) = split /\t/, $_, 4;
        next if defined $user && $key ne $user;    # reading JSON takes its time
        push @records, {
            key       => $key,
            partition => $partition,
            offset    => $offset,
            event     => $JSON->decode($value),
        };
    }
    close $out or ($tries // 3) <= 1 or return records($topic, $user, ($tries // 3) - 1);
    return @records;
}

# The events of one user on the topic, in the order that Kafka has them.
sub stream_of {
    my ($user, $topic) = @_;
    return map { $_->{event} } records($topic // 'tasks', $user);
}

# Delivery is at least once: of copies, only the first counts.
sub first_occurrences {
    my %seen;
    return grep { !$seen{ $_->{id} }++ } @_;
}

# Do these events count 1, 2, 3 … in this order?
sub gapless {
    my @events = first_occurrences(@_);
    my $n = 0;
    $_->{sequence} eq sprintf('%020d', ++$n) or return 0 for @events;
    return 1;
}

1;
