package TaskEvents::Inject;

# Stands between a server and PostgreSQL, counts what is asked on one connection, and
# lets the n-th of it fail:
#
#   my $inject = TaskEvents::Inject->new($dsn, root());     # ->dsn is what the server takes
#   $inject->follow('some text');       # whose connection it is: what carries that text
#   $inject->arm('XX000', 3);           # the third statement fails with that SQLSTATE
#   $inject->arm('cut', 3);             # … the connection ends before it arrives
#   $inject->arm('answer', 3);          # … it is carried out, the answer does not come
#   $inject->fired;                     # whether there was a third one; it is not armed any more
#
# Speaks PostgreSQL's protocol 3 as far as that asks: a statement is a Bind (its Parse
# goes with it) or a Query. One process with a select loop, told by a socket.

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use POSIX ();

sub new
{
    my ($class, $dsn, $dir) = @_;
    my ($host) = $dsn =~ /\bhost=(\S+)/;
    my ($port) = $dsn =~ /\bport=(\d+)/;
    return if !defined $host || $host !~ /^[\d.]+$/;
    my ($data, $control) = map { IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 64) or die "listen: $!" } 1, 2;
    my $self = bless { dsn => $dsn =~ s/\bport=\d+/port=@{[ $data->sockport ]}/r, control => $control->sockport, owner => $$ }, $class;
    $self->{pid} = fork // die "fork: $!";
    if (!$self->{pid}) {
        $SIG{PIPE} = 'IGNORE';
        eval { run($data, $control, $host, $port // 5432); 1 } or warn $@;
        POSIX::_exit(0);
    }
    return $self;
}

sub dsn { $_[0]{dsn} }
sub follow { my ($self, $text) = @_; return $self->tell("follow $text") }
sub arm { my ($self, $how, $n) = @_; return $self->tell("arm $how $n") }
sub fired { my ($self) = @_; return $self->tell('fired') }
# the exit status of the test is not that of this
sub DESTROY { my ($self) = @_; local ($?, $!); if ($self->{pid} && $self->{owner} == $$) { kill KILL => $self->{pid}; waitpid $self->{pid}, 0 } }

sub tell
{
    my ($self, $line) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{control}) or die "inject: $!";
    print {$socket} "$line\n";
    my $answer = <$socket> // die "inject: no answer to $line\n";
    return $answer + 0;
}

# ---- in its own process

my ($followed, %order, $fired, $followed_socket) = ('');

sub run
{
    my ($data, $control, $host, $port) = @_;
    my $select = IO::Select->new($data, $control);
    my (%peer, %is_client, %state);
    my $close = sub { for ($_[0], $peer{ $_[0] }) { $select->remove($_); delete $state{$_}; close $_ } };
    while (1) {
        for my $ready ($select->can_read) {
            if ($ready == $control) { obey($control->accept); next }
            if ($ready == $data) {
                my $client = $data->accept or next;
                my $server = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port) or do { close $client; next };
                @peer{$client, $server} = ($server, $client);
                $is_client{$client} = 1;
                delete $is_client{$server};
                $state{$client} = { rest => '', begun => 0 };
                $state{$server} = { rest => '' };
                $select->add($client, $server);
                next;
            }
            next if !defined fileno $ready;
            my $state = $state{$ready};
            if (!sysread $ready, $state->{rest}, 65536, length $state->{rest}) { $close->($ready); next }
            if (!$is_client{$ready}) {
                if ($state->{mute}) {
                    # ReadyForQuery: what was asked is done
                    $close->($ready) if $state->{rest} =~ /Z\x00\x00\x00\x05[IET]\z/;
                }
                else { write_all($peer{$ready}, $state->{rest}); $state->{rest} = '' }
                next;
            }
            my ($out, $fate) = asked($ready, $state);
            write_all($peer{$ready}, $out);
            $close->($ready) if $fate eq 'cut';
            $state{ $peer{$ready} }{mute} = 1 if $fate eq 'answer';
        }
    }
}

sub write_all { my ($to, $bytes) = @_; while (length $bytes) { my $n = syswrite $to, $bytes or return; substr $bytes, 0, $n, '' } }

sub obey
{
    my ($socket) = @_;
    my ($what, @words) = split ' ', <$socket> // '', 2;
    my $answer = 1;
    if ($what eq 'follow') { ($followed, $followed_socket) = ($words[0] =~ s/\s+\z//r, undef) }
    elsif ($what eq 'arm') { @order{qw(how n)} = split ' ', $words[0]; $fired = 0 }
    else { $answer = $fired ? 1 : 0; %order = () }
    print {$socket} "$answer\n";
    close $socket;
}

# What a client sent, whole messages of it: what goes on to the server, and what
# becomes of the connection.
sub asked
{
    my ($socket, $state) = @_;
    my $out = '';
    while (1) {
        # before the start-up message there are no types
        my $type = $state->{begun} ? 1 : 0;
        last if length $state->{rest} < 4 + $type;
        my $size = $type + unpack 'N', substr $state->{rest}, $type, 4;
        last if length $state->{rest} < $size;
        my $message = substr $state->{rest}, 0, $size, '';
        if (!$type) {
            # protocol 3.0; a request for TLS comes before it
            $state->{begun} = 1 if unpack('N', substr $message, 4, 4) == 196608;
            $out .= $message;
            next;
        }
        my $kind = substr $message, 0, 1;
        $followed_socket = $socket if length $followed && index($message, $followed) >= 0;
        # Parse comes before the Bind that it is for: the same statement
        my $counts = $kind eq 'P' || $kind eq 'Q' || $kind eq 'B' && !$state->{parsed};
        $state->{parsed} = $kind eq 'P' ? 1 : $kind =~ /[DB]/ ? $state->{parsed} && $kind ne 'B' : 0;
        if ($counts && $order{how} && ($followed_socket // 0) == $socket && --$order{n} == 0) {
            my $how = $order{how};
            %order = ();
            $fired = 1;
            return ($out, 'cut') if $how eq 'cut';
            if ($how eq 'answer') { $out .= $message . $state->{rest}; $state->{rest} = ''; return ($out, 'answer') }
            # a Query would be passed over too, with no Sync behind it
            if ($kind eq 'Q') { $message = "Q" . pack('N', 5 + length sql($how)) . sql($how) . "\0" }
            else { $out .= failing($how) }
        }
        $out .= $message;
    }
    return ($out, '');
}

sub sql { return "DO \$\$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '$_[0]'; END \$\$" }

# A statement that fails with this SQLSTATE; what follows up to the Sync is passed over.
sub failing
{
    my $sql = sql($_[0]);
    return join '', map { my ($kind, $body) = @$_; $kind . pack('N', 4 + length $body) . $body }
        ['P', "\0$sql\0" . pack 'n', 0], ['B', "\0\0" . pack 'nnn', 0, 0, 0], ['E', "\0" . pack 'N', 0];
}

1;
